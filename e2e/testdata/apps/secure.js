'use strict';
// Servers that speak TLS or HTTP/2 themselves; PROTOCOL says which.

const cluster = require('node:cluster');
const fs = require('node:fs');
const { PROTOCOL, LISTEN, CERT, KEY } = process.env;

const answer = (req, res) => {
  res.setHeader('Worker', String(cluster.worker?.id));
  res.end(`${req.httpVersion} ${req.socket.isSessionReused?.() ? 'resumed' : 'new'} ${req.socket.remotePort}`);
};

const tls = CERT ? { cert: fs.readFileSync(CERT), key: fs.readFileSync(KEY) } : {};
const make = {
  https: () => require('node:https').createServer(tls, answer),
  http2: () => require('node:http2').createSecureServer({ ...tls, allowHTTP1: true }, answer),
  h2c: () => require('node:http2').createServer(answer),
};
make[PROTOCOL]().listen(Number(LISTEN));
