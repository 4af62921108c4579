// An ES module that is not ready before its top-level await is over.
import http from 'node:http';
import { setTimeout } from 'node:timers/promises';
import cluster from 'node:cluster';

const greeting = await setTimeout(100, 'ES module');
http.createServer((req, res) => res.end(`${greeting} ${cluster.worker?.id}`)).listen(Number(process.env.LISTEN));
