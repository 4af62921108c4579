'use strict';

// A web server that knows nothing of clusters, workers or balancers.

const express = require('express');
const routes = require('./routes');

const app = express();
routes(app);

app.get('/', (req, res) => {
  res.send(`Hello from process ${process.pid}\n`);
});

// Answers, and dies.
app.get('/workerKiller', (req, res) => {
  res.on('finish', () => process.exit(1));
  res.send(`process ${process.pid} is dead\n`);
});

app.listen(3000, (error) => {
  if (error) throw error;
  console.log(`process ${process.pid} listens on 3000`);
});
