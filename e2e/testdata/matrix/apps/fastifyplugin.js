module.exports = async (app, options) => { app.get('/', async () => `worker ${process.env.BULSA_WORKER}\n`); };
