'use strict';

// What both variants of the server can do.

const MAX_FIB = 40; // about a second of work
const MAX_SLOW = 60_000; // milliseconds

function fib(n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

// number reads a query value between 0 and max; missing or odd values give fallback.
function number(value, fallback, max) {
  const n = Number.parseInt(value, 10);
  return Number.isNaN(n) ? fallback : Math.min(Math.max(n, 0), max);
}

module.exports = function routes(app) {
  app.get('/health', (req, res) => {
    res.send('ok\n');
  });

  // Blocks this worker's event loop: all its other requests wait.
  app.get('/fib', (req, res) => {
    const n = number(req.query.n, 30, MAX_FIB);
    res.send(`fib(${n}) = ${fib(n)} by process ${process.pid}\n`);
  });

  // Waits without blocking anybody.
  app.get('/slow', (req, res) => {
    const ms = number(req.query.ms, 1000, MAX_SLOW);
    setTimeout(() => res.send(`waited ${ms} ms in process ${process.pid}\n`), ms);
  });
};
