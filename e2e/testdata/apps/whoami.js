'use strict';
// Answers with what it knows of itself, of its client and of its primary.
// LISTEN is what its server is told to listen on, as JSON: a port, a path, or
// options; without it PORT is.

const cluster = require('node:cluster');
const http = require('node:http');

let master = null;
process.on('message', (message) => {
  if (message?.cmd === 'MASTER_ID') master = message.master_id;
});
process.send?.({ worker_id: cluster.worker?.id, cmd: 'MASTER_ID' });

const server = http.createServer((req, res) => {
  const path = new URL(req.url, 'http://app').pathname;
  (routes[path] ?? whoami)(req, res);
});

const routes = {
  '/slow': (req, res) => setTimeout(() => whoami(req, res), 1000),
  '/events': events,
  '/echo': echo,
};

function whoami(req, res) {
  const { remoteAddress, remotePort, remoteFamily } = req.socket;
  const { BULSA_SERVICE, BULSA_WORKER, NODE_APP_INSTANCE, PORT, NODE_OPTIONS } = process.env;
  res.setHeader('Content-Type', 'application/json');
  res.end(JSON.stringify({
    pid: process.pid,
    node: process.version,
    isWorker: cluster.isWorker,
    id: cluster.worker?.id ?? 0,
    master,
    address: server.address(),
    remoteAddress, remotePort, remoteFamily,
    headers: req.headers,
    argv: process.argv.slice(2),
    cwd: process.cwd(),
    env: { BULSA_SERVICE, BULSA_WORKER, NODE_APP_INSTANCE, PORT, NODE_OPTIONS },
  }));
}

// Server-sent events: the next one is sent when the test asks for it.
let waiting = null;
function events(req, res) {
  if (req.method === 'POST') {
    waiting?.write(`data: second\n\n`);
    res.end();
    return;
  }
  waiting = res;
  res.writeHead(200, { 'Content-Type': 'text/event-stream' });
  res.write('data: first\n\n');
}

function echo(req, res) {
  const parts = [];
  req.on('data', (part) => parts.push(part));
  req.on('end', () => res.end(Buffer.concat(parts)));
}

server.listen(JSON.parse(process.env.LISTEN || process.env.PORT || '3000'), () => {
  console.log(`listening on ${JSON.stringify(server.address())}`);
});
