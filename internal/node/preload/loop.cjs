'use strict';
// Answering what bulsa asks about the event loop. Nothing runs here unless it
// asks: no timer, no hook on requests. pauses.cjs watches the garbage collector
// from the first question on.

const { performance } = require('perf_hooks');
const pauses = require('./pauses.cjs');

// install answers over the channel. The application may replace process.send.
exports.install = function install() {
  const send = process.send;
  process.prependListener('internalMessage', (message) => {
    if (!message || message.cmd !== 'NODE_BULSA' || message.act !== 'ask') return;
    const answer = { cmd: 'NODE_BULSA', act: 'answer', seq: message.seq };
    if (message.all) {
      for (const part of [clock, loop, heap, activity, debugging, collections]) tryInto(answer, part);
    }
    Reflect.apply(send, process, [answer, undefined, undefined, () => {}]);
  });
};

// tryInto leaves out what this version of Node, or an application that changed
// it, does not tell.
function tryInto(answer, part) {
  try {
    Object.assign(answer, part());
  } catch {
    // bulsa takes what is missing for unknown.
  }
}

// Times are in milliseconds. clock is libuv's own: CLOCK_MONOTONIC.
function clock() {
  const [seconds, nanoseconds] = process.hrtime();
  return { clock: seconds * 1e3 + nanoseconds / 1e6 };
}

function loop() {
  const { idleTime: idle, uvMetricsInfo } = performance.nodeTiming;
  const { active } = performance.eventLoopUtilization();
  return { idle, active, loops: uvMetricsInfo ? uvMetricsInfo.loopCount : 0 };
}

function heap() {
  const { used_heap_size: used, heap_size_limit: limit, external_memory: external } = require('v8').getHeapStatistics();
  return { used, limit, external };
}

// A connection that carries a request has its answer attached (lib/_http_server.js).
function activity() {
  const inFlight = process._getActiveHandles().filter((h) => h && h._httpMessage && h.server).length;
  return { inFlight, handles: process.getActiveResourcesInfo().length };
}

function debugging() {
  const asked = [...process.execArgv, process.env.NODE_OPTIONS || ''].some((a) => /(^|\s)--inspect(-brk|-wait)?(=|\s|$)/.test(a));
  return { inspected: asked || !!require('inspector').url() };
}

function collections() {
  return { gc: pauses.told(performance.now()) };
}
