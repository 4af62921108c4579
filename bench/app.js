'use strict';

// The app of the loss test: it answers, after a little while, and knows nothing
// of who runs it.

const http = require('node:http');

http
  .createServer((request, response) => {
    setTimeout(() => response.end('Hello, World!'), 5);
  })
  .listen(process.env.PORT || 3000);
