'use strict';
// Counting the garbage collector's pauses. To be told of one costs a process as
// much as several small requests (0.1 to 0.3 ms), so where they are frequent only
// some spans from question to question are watched.

const { PerformanceObserver } = require('perf_hooks');

// FEW pauses in a span are no matter; for each further FEW the next span is left
// out, up to MOST of them.
const FEW = 5;
const MOST = 9;

const sums = {}; // by V8's number of a kind: [how many, ms, longest ms]
let span = {}; // the same, of the span at hand
let observer;
let watching = false;
let began = 0; // when the span at hand did, ms
let ended = 0; // when the last one that was watched did; 0: none was
let leave = 0; // spans to leave out

// told is asked at each question, which begins a span. What was left out counts
// like the span that follows it: that one was not chosen for what happened in it.
exports.told = function told(now) {
  if (watching) {
    leave = Math.min(Math.floor(close(now) / FEW), MOST);
    if (leave > 0) watch(false);
  } else {
    leave--;
  }
  if (!watching && leave <= 0) watch(true);
  if (watching) began = now;
  return Object.fromEntries(Object.entries(sums).map(([kind, [count, total, longest]]) => [kind, [Math.round(count), total, longest]]));
};

// close adds the span at hand and returns how many pauses it had.
function close(now) {
  collect(observer.takeRecords());
  const times = ended > 0 && now > began ? (now - ended) / (now - began) : 1;
  let pauses = 0;
  for (const [kind, [count, total, longest]] of Object.entries(span)) {
    const sum = sums[kind] || (sums[kind] = [0, 0, 0]);
    sum[0] += count * times;
    sum[1] += total * times;
    sum[2] = Math.max(sum[2], longest);
    pauses += count;
  }
  span = {};
  ended = now;
  return pauses;
}

function collect(entries) {
  for (const { duration, detail } of entries) {
    const sum = span[detail.kind] || (span[detail.kind] = [0, 0, 0]);
    sum[0]++;
    sum[1] += duration;
    sum[2] = Math.max(sum[2], duration);
  }
}

function watch(on) {
  watching = on;
  try {
    observer = observer || new PerformanceObserver((list) => collect(list.getEntries()));
    if (on) observer.observe({ entryTypes: ['gc'] });
    else observer.disconnect();
  } catch {
    // No pauses are told then.
  }
}
