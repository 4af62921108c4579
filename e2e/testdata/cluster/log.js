'use strict';
// Logs with log4js as it is configured by default.
const logger = require('log4js').getLogger('shop');
logger.level = 'info';
require('http').createServer((req, res) => {
  logger.info('asked for %s', req.url, { by: 'a client' });
  res.end('ok');
}).listen(process.env.PORT);
