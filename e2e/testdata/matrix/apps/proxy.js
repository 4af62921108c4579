const { createProxyMiddleware } = require('http-proxy-middleware');
const back = require('http').createServer((q, a) => a.end(`worker ${process.env.BULSA_WORKER}\n`)).listen(0, '127.0.0.1', () => {
  require('express')().use(createProxyMiddleware({ target: 'http://127.0.0.1:' + back.address().port })).listen(process.env.PORT || 3000);
});
