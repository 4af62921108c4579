'use strict';
// Has a child of its own group member and one that left for a session of its own.
const { spawn } = require('node:child_process');
const http = require('node:http');
const own = spawn('sleep', ['600']).pid;
const stray = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).pid;
http.createServer((req, res) => {
  setTimeout(() => res.end(JSON.stringify([process.pid, own, stray])), req.url === '/slow' ? 1000 : 0);
}).listen(Number(process.env.LISTEN));
