import { createServer } from 'node:http';
await Promise.resolve();
createServer((q, a) => a.end(`worker ${process.env.BULSA_WORKER}\n`)).listen(process.env.PORT || 3000);
