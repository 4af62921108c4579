'use strict';
// What the watch costs inside a worker, part by part, each within one process, so
// that only the part differs: the processor time of a question for all and of a
// short one, with more and more connections open, and what the observer of the
// garbage collector adds to a pause. Answers go over a real channel.
//
//	node bench/loopcost/inside.js

const { fork } = require('node:child_process');
const net = require('node:net');
const path = require('node:path');

const MEBIBYTE = 1 << 20;
const preload = path.join(__dirname, '../../internal/node/preload/loop.cjs');
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const used = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

// The worker: an HTTP server that tells what it has used when it is told to.
function worker() {
  require(preload).install();
  const server = require('node:http').createServer((q, r) => r.end('ok'));
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
  process.on('message', (what) => {
    if (what === 'used') process.send({ used: used() });
  });
}

async function asked() {
  const child = fork(__filename, ['worker']);
  const message = (wanted) =>
    new Promise((resolve) => {
      const hear = (m) => wanted(m) && (child.off('message', hear), child.off('internalMessage', hear), resolve(m));
      child.on('message', hear).on('internalMessage', hear);
    });
  const tell = async () => {
    const answer = message((m) => m.used);
    child.send('used');
    return (await answer).used;
  };
  let seq = 0;
  const ask = (all) => {
    const answer = message((m) => m.act === 'answer');
    child.send({ cmd: 'NODE_BULSA', act: 'ask', seq: ++seq, all });
    return answer;
  };
  const cost = async (all, count) => {
    const before = await tell();
    for (let i = 0; i < count; i++) await ask(all);
    return ((await tell()) - before) / count;
  };
  const { port } = await message((m) => m.port);
  const sockets = [];
  for (const connections of [0, 100, 1000]) {
    while (sockets.length < connections) {
      const s = net.connect(port, '127.0.0.1').on('error', () => {});
      await new Promise((resolve) => s.once('connect', resolve));
      sockets.push(s);
    }
    const all = [];
    const short = [];
    for (let i = 0; i < 9; i++) {
      all.push(await cost(true, 200));
      short.push(await cost(undefined, 200));
    }
    console.log(`${connections} connections: ${median(all).toFixed(0)} µs for a question for all, ${median(short).toFixed(0)} for a short one`);
  }
  sockets.forEach((s) => s.destroy());
  child.kill();
}

// paused compares the same garbage with and without the observer, in turn.
async function paused() {
  const { PerformanceObserver } = require('node:perf_hooks');
  let pauses = 0;
  const observer = new PerformanceObserver((list) => (pauses += list.getEntries().length));
  const idle = () => new Promise((resolve) => setTimeout(resolve, 1));
  const litter = async () => {
    const before = used();
    for (let i = 0; i < 60; i++) {
      for (let kept = [], bytes = 0; bytes < 4 * MEBIBYTE; bytes += 1024) kept[bytes & 63] = new Array(125).fill(i);
      await idle(); // entries are handed over between the callbacks
    }
    return used() - before;
  };
  const differences = [];
  for (let i = 0; i < 22; i++) {
    const first = i % 2 === 0;
    const cost = {};
    for (const watched of [first, !first]) {
      if (watched) observer.observe({ entryTypes: ['gc'] });
      pauses = 0;
      cost[watched] = await litter();
      if (watched) cost.pauses = pauses;
      observer.disconnect();
    }
    if (i > 1) differences.push((cost.true - cost.false) / cost.pauses);
  }
  differences.sort((a, b) => a - b);
  const q = (part) => differences[Math.floor(differences.length * part)].toFixed(0);
  console.log(`a pause of the garbage collector: ${q(0.5)} µs more when it is counted (quartiles ${q(0.25)} to ${q(0.75)})`);
}

if (process.argv[2] === 'worker') worker();
else asked().then(paused);
