const server = require('restify').createServer();
server.get('/', (q, a, next) => { a.sendRaw(`worker ${process.env.BULSA_WORKER}\n`); next(); });
server.listen(process.env.PORT || 3000);
