'use strict';
// What bulsa loads into a worker's Node process (NODE_OPTIONS=--require). In
// any other process it does nothing: wrappers are passed through, children and
// threads of the application find no BULSA_ID. It never throws, never prints
// and never keeps the process alive.

function main() {
  const env = process.env;
  if (!env.BULSA_ID || !require('worker_threads').isMainThread) return;
  const join = require('./join.cjs');
  if (env.BULSA_FD && !join.isApplication()) return;

  const { BULSA_ID: id, BULSA_FD: fd, BULSA_SOCK: socket, BULSA_LOOP: loop } = env;
  for (const name of ['BULSA_ID', 'BULSA_FD', 'BULSA_SOCK', 'BULSA_LOOP']) delete env[name];
  forgetPreload(env);

  if (fd) join.joinCluster(Number(fd), id);
  const servers = socket ? require('./listen.cjs').rewrite(socket) : new WeakSet();
  require('./address.cjs').install(servers);
  require('./inspect.cjs').install();
  if (process.connected) {
    join.endWhenIdle();
    require('./begun.cjs').promise();
    if (loop) require('./loop.cjs').install();
    const alone = 'deno' in process.versions; // it loses a handle that it reads together with a message before
    process.send({ cmd: 'NODE_BULSA', act: 'hello', pid: process.pid, loop: !!loop, alone }, undefined, undefined, () => {});
  }
}

// The application's own children shall see the NODE_OPTIONS that the user wrote.
function forgetPreload(env) {
  const own = `--require "${__filename.replace(/[\\"]/g, '\\$&')}"`;
  const rest = (env.NODE_OPTIONS || '').replace(own, '').trim();
  if (rest) env.NODE_OPTIONS = rest;
  else delete env.NODE_OPTIONS;
}

try {
  main();
} catch {
  // The application runs as it would without bulsa.
}
