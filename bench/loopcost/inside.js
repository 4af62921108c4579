'use strict';
// What the watch costs inside a worker, part by part, each within one process, so
// that only the part differs: the processor time of a question for all and of a
// short one, with more and more connections open; or of a request while the
// worker is asked once a second and while it is not. Answers go over a real channel.
//
//	node bench/loopcost/inside.js
//	node bench/loopcost/inside.js loaded

const { fork, spawn } = require('node:child_process');
const net = require('node:net');
const path = require('node:path');

const PAIRS = 9;
const SPAN = 5; // s
const preload = path.join(__dirname, '../../internal/node/preload/loop.cjs');
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const used = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

// The worker: an HTTP server that tells what it has used when it is told to.
function worker() {
  const hooks = require('node:perf_hooks');
  const observers = new Map(); // and whether they observe, to be stopped without the preload's knowledge
  hooks.PerformanceObserver = class extends hooks.PerformanceObserver {
    observe(wanted) {
      observers.set(this, wanted);
      super.observe(wanted);
    }
    disconnect() {
      observers.delete(this);
      super.disconnect();
    }
    rest() {
      super.disconnect();
    }
  };
  require(preload).install();
  let requests = 0;
  const server = require('node:http').createServer((q, r) => {
    requests++;
    r.end('ok');
  });
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
  process.on('message', (what) => {
    if (what === 'unwatched') for (const o of observers.keys()) o.rest();
    if (what === 'watched') for (const [o, wanted] of observers) o.observe(wanted);
    process.send({ used: used(), requests });
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

// loaded compares the same worker, under load, while it is asked once a second
// and while it is not. Its observer of the garbage collector is at rest then.
async function loaded() {
  const child = fork(__filename, ['worker']);
  const next = () => new Promise((resolve) => child.once('message', resolve));
  const { port } = await next();
  const tell = async (what) => {
    const answer = next();
    child.send(what);
    return answer;
  };
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const load = spawn('wrk', ['-t', '1', '-c', '16', '-d', '1h', `http://127.0.0.1:${port}/`], { stdio: 'ignore' });
  await sleep(3000);
  let seq = 0;
  const span = async (watched) => {
    const before = await tell(watched ? 'watched' : 'unwatched');
    for (let i = 0; i < SPAN; i++) {
      if (watched) child.send({ cmd: 'NODE_BULSA', act: 'ask', seq: ++seq, all: true });
      await sleep(1000);
    }
    const after = await tell('used');
    return (after.used - before.used) / (after.requests - before.requests);
  };
  const [on, off] = [[], []];
  for (let i = 0; i < PAIRS; i++) {
    for (const watched of i % 2 === 0 ? [true, false] : [false, true]) (watched ? on : off).push(await span(watched));
  }
  load.kill();
  child.kill();
  const ratios = on.map((v, i) => v / off[i]).sort((a, b) => a - b);
  const all = ratios.map((v) => v.toFixed(4)).join(', ');
  console.log(`under load: ${median(on).toFixed(2)} µs for a request while it is asked, ${median(off).toFixed(2)} while not; ${PAIRS} pairs of ${SPAN} s, ratios ${all}`);
}

if (process.argv[2] === 'worker') worker();
else if (process.argv[2] === 'loaded') loaded();
else asked();
