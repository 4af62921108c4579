import { createServer, type Server } from 'http';
const server: Server = createServer((q, a) => { a.end(`worker ${process.env.BULSA_WORKER}\n`); });
server.listen(Number(process.env.PORT || 3000));
