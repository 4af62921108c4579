const app = require('fastify')();
app.get('/', async () => `worker ${process.env.BULSA_WORKER}\n`);
app.listen({ port: Number(process.env.PORT || 3000), host: '0.0.0.0' });
