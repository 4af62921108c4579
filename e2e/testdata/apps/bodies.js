'use strict';
// Takes and sends bodies of any size, and writes down which requests it has
// begun, in the file LEDGER.

const crypto = require('node:crypto');
const diagnostics = require('node:diagnostics_channel');
const fs = require('node:fs');
const http = require('node:http');

const ledger = fs.openSync(process.env.LEDGER, 'a');
fs.writeSync(ledger, '\n'); // the first call of everything takes longer
const piece = Buffer.from(Array.from({ length: 251 * 64 }, (_, i) => i % 251));

// The first moment at which an application can know of a request.
diagnostics.subscribe('http.server.request.start', ({ request }) => {
  const id = /[?&]id=([^&]*)/.exec(request.url);
  if (id) fs.writeSync(ledger, id[1] + '\n');
});

http
  .createServer((req, res) => {
    if (req.method === 'GET') return down(new URL(req.url, 'http://x').searchParams, res);
    const hash = crypto.createHash('sha256');
    req.on('data', (part) => hash.update(part));
    req.on('end', () => res.end(hash.digest('hex')));
  })
  .listen(3000);

// Sends as many bytes as it is asked for: 0 to 250, over and over.
function down(query, res) {
  let left = Number(query.get('bytes'));
  if (query.get('framing') === 'length') res.setHeader('Content-Length', left);
  const next = () => {
    while (left > 0) {
      const part = piece.subarray(0, left);
      left -= part.length;
      if (!res.write(part)) return res.once('drain', next);
    }
    res.end();
  };
  next();
}
