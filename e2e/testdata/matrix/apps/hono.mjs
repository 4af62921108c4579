import { serve } from '@hono/node-server';
import { Hono } from 'hono';
const app = new Hono().get('/', (c) => c.text(`worker ${process.env.BULSA_WORKER}\n`));
serve({ fetch: app.fetch, port: Number(process.env.PORT || 3000) });
