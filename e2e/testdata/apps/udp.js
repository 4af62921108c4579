'use strict';
// Echoes datagrams, with the worker's number in front.
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (message, from) => {
  socket.send(`${process.env.BULSA_WORKER}: ${message}`, from.port, from.address);
});
socket.bind(Number(process.env.LISTEN), '127.0.0.1');
