import { feathers } from '@feathersjs/feathers';
import { bodyParser, koa, rest } from '@feathersjs/koa';
const app = koa(feathers());
app.use(bodyParser());
app.configure(rest());
app.use('worker', { find: async () => `worker ${process.env.BULSA_WORKER}\n` });
app.listen(process.env.PORT || 3000);
