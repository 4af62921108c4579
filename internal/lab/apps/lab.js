'use strict';
// The application of the experiments: one endpoint for each way to spend a
// request's time.

const crypto = require('node:crypto');
const http = require('node:http');
const { createRequire } = require('node:module');

const sharp = load('sharp');
const agent = new http.Agent({ keepAlive: true });

const routes = {
  '/': (res) => res.end('hello\n'),
  '/backend': backend,
  '/pool': sharp ? resize : derive,
  '/fib': (res, url) => res.end(`${fib(Number(url.searchParams.get('n') ?? 30))}\n`),
  '/kind': (res) => res.end(sharp ? 'sharp' : 'pbkdf2'),
};

http.createServer((req, res) => {
  const url = new URL(req.url, 'http://lab');
  (routes[url.pathname] ?? routes['/'])(res, url);
}).listen(process.env.PORT);

// backend waits for a server that is slow: the loop has nothing to do meanwhile.
function backend(res) {
  http.get(process.env.LAB_BACKEND, { agent }, (answer) => {
    answer.resume().on('end', () => res.end('answered\n'));
  }).on('error', (err) => res.writeHead(502).end(`${err.message}\n`));
}

// derive keeps a thread of the pool busy for some milliseconds.
function derive(res) {
  crypto.pbkdf2('bulsa', 'salt', 10000, 64, 'sha512', (err, key) => {
    if (err) res.writeHead(500).end(`${err.message}\n`);
    else res.end(`${key.length}\n`);
  });
}

// resize does the same with images.
function resize(res) {
  sharp({ create: { width: 600, height: 400, channels: 3, background: 'teal' } }).resize(300).jpeg().toBuffer()
    .then((image) => res.end(`${image.length}\n`), (err) => res.writeHead(500).end(`${err.message}\n`));
}

function fib(n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

// load finds a package of the folder in which the lab was started.
function load(name) {
  try {
    return createRequire(`${process.env.LAB_FOLDER}/`)(name);
  } catch {
    return undefined;
  }
}
