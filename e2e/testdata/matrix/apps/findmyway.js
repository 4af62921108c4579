const router = require('find-my-way')();
router.on('GET', '/', (q, a) => a.end(`worker ${process.env.BULSA_WORKER}\n`));
require('http').createServer((q, a) => router.lookup(q, a)).listen(process.env.PORT || 3000);
