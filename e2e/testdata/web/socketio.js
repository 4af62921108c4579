// A chat with socket.io's defaults: a session begins by long polling and then becomes a WebSocket.
const { Server } = require('socket.io');
const server = require('http').createServer((request, response) => response.end('hello'));
const io = new Server(server);
io.on('connection', (socket) => {
  socket.on('who', (answer) => answer(process.pid));
});
server.listen(3000);
