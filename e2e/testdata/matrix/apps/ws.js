const http = require('http').createServer((q, a) => a.end(`worker ${process.env.BULSA_WORKER}\n`));
new (require('ws').WebSocketServer)({ server: http }).on('connection', (s) => s.send('hello'));
http.listen(process.env.PORT || 3000);
