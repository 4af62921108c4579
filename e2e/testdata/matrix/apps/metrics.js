require('prom-client').collectDefaultMetrics();
require('http').createServer(async (q, a) => a.end(q.url === '/metrics' ? await require('prom-client').register.metrics() : `worker ${process.env.BULSA_WORKER}\n`)).listen(process.env.PORT || 3000);
