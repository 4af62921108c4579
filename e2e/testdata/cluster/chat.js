'use strict';
// A room of socket.io whose workers know of each other by the cluster adapter.
const http = require('http');
const { Server } = require('socket.io');
const { createAdapter } = require('@socket.io/cluster-adapter');

const server = http.createServer(async (req, res) => {
  if (req.url === '/count') return res.end(String((await io.fetchSockets()).length));
  io.emit('news', process.env.BULSA_WORKER);
  res.end('told');
});
const io = new Server(server, { adapter: createAdapter(), transports: ['websocket'] });
server.listen(process.env.PORT);
