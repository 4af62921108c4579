require('node:http').createServer((req, res) => {
  res.end(`hello by ${req.headers['x-forwarded-proto']}\n`);
}).listen(3000);
