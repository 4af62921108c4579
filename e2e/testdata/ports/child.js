'use strict';
// Finds a free port for a child, and serves what the child answers there.
const http = require('http');
const net = require('net');
const { spawn } = require('child_process');

const serve = `require('http').createServer((q, a) => a.end('the child')).listen(process.argv[1], '127.0.0.1', () => console.log('up'))`;

const probe = net.createServer().listen(0, () => {
  const { port } = probe.address();
  probe.close(() => {
    const child = spawn(process.execPath, ['-e', serve, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
    process.on('exit', () => child.kill());
    child.stdout.once('data', () => {
      http.createServer((req, res) => {
        http.get({ host: '127.0.0.1', port }, (answer) => answer.pipe(res)).on('error', (err) => res.end(String(err)));
      }).listen(3000);
    });
  });
});
