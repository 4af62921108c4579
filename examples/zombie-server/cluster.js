'use strict';

// A web server of several workers, on Node's own cluster. The primary gives
// itself a name that the workers ask for; a worker that dies is replaced.
// Started by bulsa, this file is a worker from its first line on: then bulsa is
// the primary, forks, and answers.

const cluster = require('node:cluster');

if (cluster.isPrimary) {
  primary();
} else {
  worker();
}

function primary() {
  const { randomUUID } = require('node:crypto');
  const os = require('node:os');
  const id = randomUUID();

  cluster.on('message', (from, message) => {
    if (message?.cmd === 'MASTER_ID') {
      from.send({ cmd: 'MASTER_ID', master_id: id });
    }
  });
  cluster.on('exit', (dead, code, signal) => {
    console.log(`worker ${dead.id} died (${signal ?? code}), starting another`);
    setTimeout(() => cluster.fork(), 100); // one that dies at once must not eat the machine
  });
  for (let i = 0; i < os.availableParallelism(); i++) {
    cluster.fork();
  }
}

function worker() {
  const express = require('express');
  const routes = require('./routes');
  const me = cluster.worker;
  let master = 'unknown';

  process.on('message', (message) => {
    if (message?.cmd === 'MASTER_ID') {
      master = message.master_id;
    }
  });
  process.send({ worker_id: me.id, cmd: 'MASTER_ID' });

  const app = express();
  routes(app);

  app.get('/', (req, res) => {
    res.send(`Hello from worker ${me.id} of ${master}\n`);
  });

  // Answers, and dies: requests that this worker still has are finished first.
  app.get('/workerKiller', (req, res) => {
    res.on('finish', () => me.kill());
    res.send(`worker ${me.id} is dead\n`);
  });

  app.listen(3000, (error) => {
    if (error) throw error;
    console.log(`worker ${me.id} listens on 3000`);
  });
}
