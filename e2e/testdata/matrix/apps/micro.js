module.exports = () => `worker ${process.env.BULSA_WORKER}\n`;
