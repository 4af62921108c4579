'use strict';
// Five requests in a minute, for all workers together.
const { RateLimiterCluster } = require('rate-limiter-flexible');
const limiter = new RateLimiterCluster({ keyPrefix: 'requests', points: 5, duration: 60 });
require('http').createServer(async (req, res) => {
  try {
    const { remainingPoints } = await limiter.consume('everybody');
    res.end(`left ${remainingPoints}`);
  } catch (err) {
    res.statusCode = err instanceof Error ? 500 : 429;
    res.end(err instanceof Error ? err.message : 'limited');
  }
}).listen(process.env.PORT);
