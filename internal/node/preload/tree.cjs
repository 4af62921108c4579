'use strict';
// The processes of a worker. What bulsa gave the first one is hidden from the
// application, and handed on to what this process starts until it listens: until
// then it may be a launcher of the application, whose name nobody knows.

const NAMES = ['BULSA_ID', 'BULSA_JOIN', 'BULSA_SOCK', 'BULSA_LOOP', 'BULSA_PORT', 'BULSA_CLIENT', 'BULSA_BELOW', 'BULSA_FIRST'];

let handing = true;

// take removes from env what is bulsa's, and returns it.
exports.take = function take(env, preload) {
  const given = {};
  for (const name of NAMES) {
    if (env[name]) given[name] = env[name];
    delete env[name];
  }
  forgetPreload(env, preload);
  return given;
};

// The application's own children shall see the NODE_OPTIONS that the user wrote.
function forgetPreload(env, preload) {
  const rest = (env.NODE_OPTIONS || '').replace(preload, '').trim();
  if (rest) env.NODE_OPTIONS = rest;
  else delete env.NODE_OPTIONS;
}

// tellPort lets a Node program see the port that the world reaches it at. All
// others are to bind the one that only this worker has.
exports.tellPort = function tellPort(env, { BULSA_PORT: port }) {
  const own = env.PORT;
  if (!port || !own || 'deno' in process.versions) return { own: 0, told: 0 };
  env.PORT = port;
  return { own, told: port };
};

// handOn gives what was taken to the children of this process, as far as they get
// its environment.
exports.handOn = function handOn(given, preload, { own, told }) {
  const add = (pairs) => (handing && pairs.some((p) => p.startsWith('BULSA_INSTANCE=')) ? completed(pairs) : pairs);
  const completed = (pairs) => {
    let options = '';
    const rest = pairs.filter((p) => {
      if (p.startsWith('NODE_OPTIONS=')) options = p.slice('NODE_OPTIONS='.length);
      return !p.startsWith('NODE_OPTIONS=');
    });
    const port = rest.indexOf(`PORT=${told}`);
    if (told && port >= 0) rest[port] = `PORT=${own}`;
    for (const [name, value] of Object.entries({ ...given, BULSA_BELOW: '1' })) {
      if (name !== 'BULSA_FIRST') rest.push(`${name}=${value}`);
    }
    return [...rest, `NODE_OPTIONS=${`${preload} ${options}`.trim()}`];
  };
  patch(require('child_process').ChildProcess.prototype, add);
  patch(binding('spawn_sync'), add);
};

function patch(target, add) {
  const { spawn } = target || {};
  if (typeof spawn !== 'function') return;
  target.spawn = function (options) {
    if (options && Array.isArray(options.envPairs)) options.envPairs = add(options.envPairs);
    return Reflect.apply(spawn, this, [options]);
  };
}

// keep ends the handing on: this process is the application.
exports.keep = function keep() {
  handing = false;
};

// binding reaches what Node's own modules are made of; undefined where that is
// forbidden (--permission). It is deprecated, but not in what the application prints.
function binding(name) {
  const { noDeprecation } = process;
  process.noDeprecation = true;
  try {
    return process.binding(name);
  } catch {
    return undefined;
  } finally {
    process.noDeprecation = noDeprecation;
  }
}
exports.binding = binding;
