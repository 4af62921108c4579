'use strict';
// Everything that clients do in one app: short and large answers, bodies,
// server-sent events, an upgrade that echoes, and answers that never come.

const http = require('node:http');

const large = Buffer.alloc(200000, 'x');
const routes = {
  '/': (req, res) => res.end('hello'),
  '/large': (req, res) => res.end(large),
  '/echo': (req, res) => req.pipe(res),
  '/whole': (req, res) => {
    const parts = [];
    req.on('data', (part) => parts.push(part));
    req.on('end', () => res.end(Buffer.concat(parts)));
  },
  '/never': () => {},
  '/events': (req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const timer = setInterval(() => res.write('data: tick\n\n'), 20);
    res.on('close', () => clearInterval(timer));
  },
};

const server = http.createServer((req, res) => routes[req.url](req, res));
server.on('upgrade', (req, socket) => {
  socket.on('error', () => {});
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  socket.pipe(socket);
});
server.listen(3000);
