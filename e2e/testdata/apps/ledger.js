'use strict';
// Writes down which requests it has begun, in the file LEDGER, so that a test
// knows which of those that were lost had been seen, and which ran twice.

const diagnostics = require('node:diagnostics_channel');
const fs = require('node:fs');
const http = require('node:http');

const ledger = fs.openSync(process.env.LEDGER, 'a');
fs.writeSync(ledger, '\n'); // the first call of everything takes longer

// The first moment at which an application can know of a request.
diagnostics.subscribe('http.server.request.start', ({ request }) => {
  const id = request.url.split('?id=')[1];
  if (id) fs.writeSync(ledger, id + '\n');
});

const server = http.createServer((req, res) => {
  const [path, id] = req.url.split('?id=');
  const begun = id ? fs.readFileSync(process.env.LEDGER, 'utf8').split('\n').filter((line) => line === id).length : 0;
  const parts = [];
  req.on('data', (part) => parts.push(part));
  req.on('end', () => (routes[path] ?? work)(req, res, { begun, body: Buffer.concat(parts) }));
});

const routes = {
  // The first worker that gets it dies of it.
  '/deadly': (req, res, it) => (it.begun === 1 ? process.kill(process.pid, 'SIGKILL') : work(req, res, it)),
  // Deaf: nothing happens in this worker for a minute.
  '/block': () => { for (const until = Date.now() + 60000; Date.now() < until;); },
  // Answers, and ends the connection when the next request comes.
  '/once': (req, res, it) => {
    if (req.socket.used) return req.socket.destroy();
    req.socket.used = true;
    work(req, res, it);
  },
  // Answers, and ends the connection a little later without reading it any more.
  '/deaf': (req, res, it) => {
    const { socket } = req;
    res.on('finish', () => {
      socket._handle.readStop();
      setTimeout(() => socket.destroy(), 20);
    });
    work(req, res, it);
  },
};

function work(req, res, it) {
  res.end(`${process.pid} got ${it.body.length}`);
}

if (process.env.KEEPALIVE) {
  server.keepAliveTimeout = Number(process.env.KEEPALIVE);
  server.keepAliveTimeoutBuffer = 0;
}
server.listen(3000);
