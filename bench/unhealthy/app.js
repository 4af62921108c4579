// Answers 200 until it is made sick, and 500 from then on until it is restarted.
let sick = false;
require('http').createServer((req, res) => {
  if (req.url === '/sick') sick = true;
  res.statusCode = sick && req.url !== '/sick' ? 500 : 200;
  res.end('hello\n');
}).listen(3000);
process.on('SIGTERM', () => process.exit(0));
