'use strict';
// An application with a primary of its own that counts for its workers.
const cluster = require('cluster');
const http = require('http');

if (cluster.isPrimary) {
  let total = 0;
  cluster.on('message', (worker, message) => {
    if (message.topic === 'jobs:done') worker.send({ total: ++total });
  });
  cluster.fork();
  cluster.fork();
} else {
  http.createServer((req, res) => {
    process.once('message', ({ total }) => res.end(`total ${total}`));
    process.send({ topic: 'jobs:done' });
    if (req.url === '/dropped') res.end('sent');
  }).listen(process.env.PORT);
}
