import { createServer } from 'node:http';
import { createApp, defineEventHandler, toNodeListener } from 'h3';
createServer(toNodeListener(createApp().use(defineEventHandler(() => `worker ${process.env.BULSA_WORKER}\n`)))).listen(process.env.PORT || 3000);
