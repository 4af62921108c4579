// One of three frameworks says who its client is: node who.js express loopback
const [, , framework, trust] = process.argv;

const apps = {
  express() {
    const express = require('express');
    const app = express();
    if (trust) app.set('trust proxy', trust);
    app.use(require('express-rate-limit').rateLimit({ limit: 1000, windowMs: 60000 }));
    app.use(require('express-session')({ secret: 'x', resave: false, saveUninitialized: true, cookie: { secure: true } }));
    app.get('/', (q, r) => r.json(seen(q.ip, q.protocol, q)));
    app.listen(3000);
  },
  fastify() {
    const app = require('fastify')({ trustProxy: trust || false });
    app.get('/', async (q) => seen(q.ip, q.protocol, q.raw));
    app.listen({ port: 3000 });
  },
  koa() {
    const app = new (require('koa'))();
    app.proxy = !!trust;
    app.use((c) => { c.body = seen(c.ip, c.protocol, c.req); });
    app.listen(3000);
  },
};

function seen(ip, protocol, { headers, socket }) {
  return { ip, protocol, forwarded: headers.forwarded || '', peer: socket.remoteAddress };
}

apps[framework]();
