// Looks for a port with a package, and listens there.
import http from 'node:http';

const wanted = Number(process.env.WANTED);

const ways = {
  'get-port': async () => (await import('get-port')).default({ port: wanted }),
  'get-port, any': async () => (await import('get-port')).default(),
  'detect-port': async () => (await import('detect-port')).detect(wanted),
  portfinder: async () => (await import('portfinder')).default.getPortPromise({ port: wanted }),
};

const port = await ways[process.env.WAY]();
http.createServer((req, res) => res.end(`found ${port}`)).listen(port);
