'use strict';
// Closes its server and opens it again, with the same number, when it is asked to.
const http = require('http');

let times = 0;

function open() {
  const server = http.createServer((req, res) => {
    res.setHeader('Connection', 'close');
    res.end(`opened ${times}`);
    if (req.url === '/again') server.close(open);
  });
  server.listen(Number(process.env.LISTEN), () => times++);
}

open();
