'use strict';
// Both services of the example: says who answers, and what of the path arrived.

const http = require('node:http');

http.createServer((req, res) => {
  const prefix = req.headers['x-forwarded-prefix'] ?? '';
  res.end(`${process.env.BULSA_SERVICE} got ${req.url}, published as ${prefix}${req.url}\n`);
}).listen(3000);
