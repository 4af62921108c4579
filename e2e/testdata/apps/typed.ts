// TypeScript: types are stripped, nothing is compiled.
import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import cluster from 'node:cluster';

interface Greeting {
  language: string;
  worker: number | undefined;
}

function answer(_req: IncomingMessage, res: ServerResponse): void {
  const greeting: Greeting = { language: 'TypeScript', worker: cluster.worker?.id };
  res.end(`${greeting.language} ${greeting.worker}`);
}

http.createServer(answer).listen(Number(process.env.LISTEN));
