'use strict';
// A service whose loop is blocked now and then. Blocking waits instead of
// computing, so that two shared cores can carry four workers.

const http = require('node:http');

const cell = new Int32Array(new SharedArrayBuffer(4));
const block = () => Atomics.wait(cell, 0, 0, 300);

// BACKGROUND: a job of the worker's own, which no proxy can see, takes 300 ms
// every 1.5 s; the workers do not do it at the same time.
if (process.env.BACKGROUND) {
  const turn = Number(process.env.NODE_APP_INSTANCE ?? 0) / Number(process.env.WORKERS ?? 1);
  setTimeout(() => setInterval(block, 1500), 1500 * turn);
}

http.createServer((req, res) => {
  switch (req.url) {
    case '/block':
      block();
      res.end('blocked\n');
      break;
    case '/after': // the answer is on its way before the loop is blocked
      res.end('answered\n');
      setTimeout(block, 5);
      break;
    case '/wait':
      setTimeout(() => res.end('waited\n'), 1000);
      break;
    default:
      res.end('light\n');
  }
}).listen(process.env.PORT);
