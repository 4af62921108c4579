'use strict';
// Echoes what comes over a WebSocket, after one line about the client.
const http = require('node:http');
const { WebSocketServer } = require('ws');

const server = http.createServer((req, res) => res.end('no upgrade'));
new WebSocketServer({ server }).on('connection', (socket, req) => {
  socket.send(`${req.socket.remoteAddress} ${req.socket.remotePort}`);
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});
server.listen(Number(process.env.LISTEN));
