const server = require('@hapi/hapi').server({ port: process.env.PORT || 3000 });
server.route({ method: 'GET', path: '/', handler: () => `worker ${process.env.BULSA_WORKER}\n` });
server.start();
