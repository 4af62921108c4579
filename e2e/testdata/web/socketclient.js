// Connects as often as the second argument says to the address of the first, by the transports of
// the third, asks twice over each connection, and prints how it went.
const { io } = require('socket.io-client');
const [, , address, count, transports] = process.argv;
const options = { forceNew: true, reconnection: false, timeout: 30000 };
if (transports) options.transports = transports.split(',');

function once() {
  return new Promise((resolve) => {
    const socket = io(address, options);
    const done = (result) => { resolve(result); socket.close(); };
    socket.on('connect_error', (error) => done(`error: ${error.message}`));
    socket.on('disconnect', (reason) => resolve(`disconnected: ${reason}`));
    socket.on('connect', () => {
      socket.emit('who', (first) => setTimeout(() => {
        socket.emit('who', (second) => done(first === second ? `${socket.io.engine.transport.name} ${first}` : 'two workers'));
      }, 300)); // the upgrade comes meanwhile
    });
  });
}

Promise.all(Array.from({ length: Number(count) }, once)).then((results) => {
  console.log(JSON.stringify(results));
  process.exit(0);
});
