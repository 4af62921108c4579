'use strict';
// Shows what arrives of a request, and answers in every shape that HTTP/1.1 has.

const crypto = require('node:crypto');
const http = require('node:http');

let connections = 0;
const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://app');
  routes[url.pathname](req, res, url.searchParams);
});
server.on('connection', (socket) => { socket.number = ++connections; });
server.on('checkContinue', (req, res) => {
  if (req.headers.authorization) {
    res.writeContinue();
    return server.emit('request', req, res);
  }
  res.writeHead(401).end('who are you?');
});
server.on('upgrade', (req, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ' + req.headers.upgrade + '\r\n\r\nwelcome ');
  socket.write(head);
  socket.pipe(socket);
});

const routes = {
  '/see': see,
  '/bytes': bytes,
  '/echo': (req, res) => req.pipe(res),
  '/trailers': trailers,
  '/status': (req, res, q) => res.writeHead(Number(q.get('code')), { ETag: '"a"' }).end(),
  '/hints': hints,
  '/hop': hop,
  '/never': () => {},
  '/half': (req, res) => { res.write('half of it'); },
};

// see reads the request to its end and tells all about it.
function see(req, res) {
  const hash = crypto.createHash('sha256');
  let length = 0;
  req.on('data', (part) => { hash.update(part); length += part.length; });
  req.on('end', () => {
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify({
      method: req.method, url: req.url, raw: req.rawHeaders, headers: req.headers, trailers: req.trailers,
      length, sha256: hash.digest('hex'), connection: req.socket.number,
    }));
  });
}

// bytes sends n bytes that depend on their position, in pieces of odd sizes.
function bytes(req, res, q) {
  const n = Number(q.get('n'));
  if (!q.get('chunked')) res.setHeader('Content-Length', n);
  let sent = 0;
  const more = () => {
    while (sent < n) {
      const part = Buffer.alloc(Math.min(n - sent, 1 + (sent * 7919) % 65537));
      for (let i = 0; i < part.length; i++) part[i] = (sent + i) % 251;
      sent += part.length;
      if (!res.write(part)) return res.once('drain', more);
    }
    res.end();
  };
  more();
}

function trailers(req, res) {
  req.resume();
  req.on('end', () => {
    res.writeHead(200, { Trailer: 'X-Sum' });
    res.write('body');
    res.addTrailers({ 'X-Sum': 'saw ' + req.trailers['x-check'] });
    res.end();
  });
}

function hints(req, res) {
  res.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => res.end('page'));
}

function hop(req, res) {
  res.setHeader('Connection', 'X-Private');
  res.setHeader('X-Private', 'secret');
  res.setHeader('Keep-Alive', 'timeout=77');
  res.setHeader('X-Public', 'for all');
  see(req, res);
}

server.listen(3000);
