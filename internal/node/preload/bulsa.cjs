'use strict';
// What bulsa loads into the Node processes of a worker (NODE_OPTIONS=--require).
// Known launchers are passed through; threads, and children of an application that
// listens, find no BULSA_ID. It never throws, never prints and never keeps the
// process alive.

// As bulsa writes it into NODE_OPTIONS (start.go, options).
const PRELOAD = `--require ${/[\s"\\]/.test(__filename) ? `"${__filename.replace(/[\\"]/g, '\\$&')}"` : __filename}`;

function main() {
  const env = process.env;
  if (parseInt(process.versions.node, 10) < 18) return; // bulsa says so
  if (!env.BULSA_ID || !require('worker_threads').isMainThread) return;
  const join = require('./join.cjs');
  const place = join.place(env);
  if (place === 'launcher') return;

  const tree = require('./tree.cjs');
  const given = tree.take(env, PRELOAD);
  const ports = tree.tellPort(env, given);
  const become = () => join.joinCluster(given.BULSA_JOIN, given.BULSA_ID) && (serve(given, place), true);
  if (place === 'worker') serve(given, place);
  else if (place === 'application' && !become()) join.atFirstListen(() => false, ports);
  else if (place === 'below') join.atFirstListen(become, ports);
  else if (place === 'foreign') join.atFirstListen(() => false, ports);
  tree.handOn(given, PRELOAD, ports);
}

// serve makes a member of the cluster one of bulsa's.
function serve({ BULSA_SOCK: socket, BULSA_LOOP: loop, BULSA_CLIENT: client }, place) {
  const own = place === 'worker' ? socket : `${socket}.${process.pid}`;
  const servers = socket ? require('./listen.cjs').rewrite(own) : new WeakSet();
  require('./address.cjs').install(servers, client === 'header');
  require('./inspect.cjs').install();
  if (!process.connected) return;
  require('./join.cjs').endWhenIdle();
  require('./begun.cjs').promise();
  if (loop) require('./loop.cjs').install();
  const alone = 'deno' in process.versions; // it loses a handle that it reads together with a message before
  process.send({ cmd: 'NODE_BULSA', act: 'hello', pid: process.pid, loop: !!loop, alone }, undefined, undefined, () => {});
}

try {
  main();
} catch (error) { // with a name: Node 8 reads this file, too
  // The application runs as it would without bulsa.
}
