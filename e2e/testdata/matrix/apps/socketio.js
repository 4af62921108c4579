const http = require('http').createServer((q, a) => a.end(`worker ${process.env.BULSA_WORKER}\n`));
new (require('socket.io').Server)(http).on('connection', (s) => s.emit('worker', process.env.BULSA_WORKER));
http.listen(process.env.PORT || 3000);
