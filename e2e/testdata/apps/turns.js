'use strict';
// Answers with its worker's number: at once, after ?ms=, or, in the worker SLOW,
// always after 200 ms.

const http = require('node:http');

const me = process.env.BULSA_WORKER;
http.createServer((req, res) => {
  const ms = Number(new URL(req.url, 'http://app').searchParams.get('ms')) || (me === process.env.SLOW ? 200 : 0);
  if (ms) setTimeout(() => res.end(me), ms);
  else res.end(me);
}).listen(3000);
