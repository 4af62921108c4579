const Koa = require('koa');
new Koa().use((c) => { c.body = `worker ${process.env.BULSA_WORKER}\n`; }).listen(process.env.PORT || 3000);
