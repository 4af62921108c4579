'use strict';
// Two servers in one process.
const http = require('node:http');
for (const port of JSON.parse(process.env.LISTEN)) {
  http.createServer((req, res) => res.end(`asked for ${port}`)).listen(port);
}
