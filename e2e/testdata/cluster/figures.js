'use strict';
// Figures of prom-client, which its AggregatorRegistry adds up over all workers.
const client = require('prom-client');
new client.AggregatorRegistry();
client.collectDefaultMetrics();
const sold = new client.Counter({ name: 'shop_sold_total', help: 'What was sold.', labelNames: ['what'] });
const stock = new client.Gauge({ name: 'shop_stock', help: 'What is there.', aggregator: 'max' });
const time = new client.Histogram({ name: 'shop_seconds', help: 'How long it took.', buckets: [0.1, 1], labelNames: ['service'] });
const price = new client.Summary({ name: 'shop_price', help: 'What it cost.', percentiles: [0.5] });
require('http').createServer((req, res) => {
  sold.inc({ what: 'a "pen"' });
  stock.set(Number(process.env.BULSA_WORKER));
  time.observe({ service: 'till' }, 0.5);
  price.observe(3);
  res.end(process.env.BULSA_WORKER);
}).listen(process.env.PORT);
