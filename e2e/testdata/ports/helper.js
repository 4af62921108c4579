'use strict';
// A server of figures first, on HELPER, and the application AFTER milliseconds
// later on PORT.
const http = require('http');

const { HELPER, AFTER, PORT } = process.env;
http.createServer((req, res) => res.end('figures')).listen(Number(HELPER), '127.0.0.1');
setTimeout(() => http.createServer((req, res) => res.end('application')).listen(Number(PORT)), Number(AFTER));
