import { App } from '@tinyhttp/app';
new App().get('/', (q, a) => { a.send(`worker ${process.env.BULSA_WORKER}\n`); }).listen(Number(process.env.PORT || 3000));
