'use strict';
// Connects clients, has news told by each worker, and says who heard how much.
const http = require('http');
const { io } = require('socket.io-client');

const [, , url, count] = process.argv;
const heard = new Array(Number(count)).fill(0);
const get = (path) => new Promise((resolve, reject) => {
  http.get(url + path, { agent: false }, (res) => {
    let text = '';
    res.on('data', (part) => { text += part; });
    res.on('end', () => resolve(text));
  }).on('error', reject);
});

async function main() {
  const clients = heard.map((_, i) => {
    const client = io(url, { transports: ['websocket'] });
    client.on('news', () => {
      heard[i]++;
      if (heard.every((n) => n === 4)) {
        console.log('all have heard all');
        process.exit();
      }
    });
    return client;
  });
  await Promise.all(clients.map((c) => new Promise((resolve) => c.on('connect', resolve))));
  while (await get('/count') !== count) await new Promise((resolve) => setTimeout(resolve, 20));
  for (let i = 0; i < 4; i++) await get('/shout');
}

main();
