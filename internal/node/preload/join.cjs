'use strict';
// Joining late: what was started is a shell, npm, or any program that leads to
// Node in the end. Each Node process below it gets a channel of its own, from a
// unix socket at which bulsa waits.

const fs = require('fs');
const path = require('path');
const tree = require('./tree.cjs');
const { managers, packages } = require('./wrappers.json');

// place says what this process is: 'worker' from its first moment, a 'launcher'
// that is passed through, an 'application' that joins at once, one that is 'below'
// a process which has joined (a helper, or the application of a launcher that
// nobody knows), or 'foreign': it speaks with such a process over Node's channel.
exports.place = function place(env) {
  if (env.BULSA_FIRST) return 'worker';
  if (!isApplication()) return 'launcher';
  // Node's own listener for handles is the first one, a cluster worker's the second.
  const elsewhere = process.listenerCount('internalMessage') > 1;
  if (elsewhere || (env.BULSA_BELOW && process.channel)) return 'foreign';
  return env.BULSA_BELOW ? 'below' : 'application';
};

// isApplication tells the user's program from known launchers before it.
function isApplication() {
  const main = process.argv[1];
  if (!main) return false; // node -e, node -p: a helper inside a script
  // node --test and --watch start other processes, and speak to them over the channel.
  if (process.execArgv.some((a) => /^--(watch|test)(-|=|$)/.test(a)) || process.env.WATCH_REPORT_DEPENDENCIES) return false;
  let real = main;
  try {
    real = fs.realpathSync(main);
  } catch {
    // Node resolves app to app.js later.
  }
  return !isManager(main) && !isManager(real) && !packages.includes(packageOf(real));
}

function isManager(file) {
  const name = path.basename(file).replace(/\.[cm]?js$/, '').replace(/-cli$|-\d.*$/, '');
  return managers.includes(name);
}

function packageOf(file) {
  const parts = file.split(path.sep);
  const at = parts.lastIndexOf('node_modules') + 1;
  if (at === 0) return '';
  return parts[at].startsWith('@') ? `${parts[at]}/${parts[at + 1]}` : parts[at];
}

// joinCluster does what Node does at start-up for NODE_CHANNEL_FD and
// NODE_UNIQUE_ID (lib/internal/process/pre_execution.js), by the same functions,
// and reports whether it could: the application may have Node's cluster already.
exports.joinCluster = function joinCluster(socket, id) {
  const pipes = tree.binding('pipe_wrap');
  const { _forkChild } = require('child_process');
  if (!pipes || typeof _forkChild !== 'function' || !canConnect(socket)) return false;
  process.env.NODE_UNIQUE_ID = id;
  try {
    const cluster = require('cluster');
    if (!cluster.isWorker) return false;
    if (process.channel) leaveWrapper();
    openChannel(pipes, socket, _forkChild);
    cluster._setupWorker();
  } finally {
    delete process.env.NODE_UNIQUE_ID;
  }
  return true;
};

// canConnect: what cannot be connected to would look like the end of bulsa, of
// which a worker dies.
function canConnect(socket) {
  try {
    fs.accessSync(socket, fs.constants.W_OK); // connect(2)
    return true;
  } catch {
    return false;
  }
}

// openChannel has Node make its channel of a connection in place of a descriptor
// that it was born with. libuv connects at once and queues what is written before
// its loop has seen that (uv_pipe_connect, src/unix/stream.c).
function openChannel({ Pipe, PipeConnectWrap }, socket, forkChild) {
  const { open } = Pipe.prototype;
  Pipe.prototype.open = function () {
    const request = new PipeConnectWrap();
    request.oncomplete = () => {};
    return this.connect(request, socket);
  };
  try {
    forkChild(0, 'json');
  } finally {
    Pipe.prototype.open = open;
  }
}

// A wrapper may have given the process a channel of its own (tsx does): it
// stays open, but process.send is bulsa's now.
function leaveWrapper() {
  process.channel.unref();
  for (const name of ['send', '_send', 'disconnect', '_disconnect', 'connected', 'channel']) delete process[name];
  process.removeAllListeners('internalMessage');
}

// atFirstListen is for a process that may be a helper of one that has joined: it
// joins when it asks for a port. One that cannot, listens where only this worker
// does in place of where the world reaches it.
exports.atFirstListen = function atFirstListen(join, { own, told }) {
  const net = require('net');
  const { listen } = net.Server.prototype;
  let member;
  const first = function (...args) {
    const port = portOf(args);
    if (port > 0 && member === undefined) {
      member = join();
      const { listen: changed } = net.Server.prototype; // mode listen
      if (changed !== first) return Reflect.apply(changed, this, args);
    }
    if (!member && told && port === Number(told)) setPort(args, Number(own));
    return Reflect.apply(listen, this, args);
  };
  net.Server.prototype.listen = first;
};

function portOf([first]) {
  return Number(first !== null && typeof first === 'object' ? first.port : first) || 0;
}

function setPort(args, port) {
  args[0] = args[0] !== null && typeof args[0] === 'object' ? { ...args[0], port } : port;
}

// endWhenIdle lets a program without a server end when its work is done, as it
// would without bulsa: Node's cluster keeps every worker alive through its own
// listeners for 'message' and 'disconnect' (each of them counts). While the
// answer to a listen() is due, the channel holds the process again.
exports.endWhenIdle = function endWhenIdle() {
  const cluster = require('cluster');
  const { channel } = process;
  const { _getServer } = cluster;
  if (!channel || typeof channel.unrefCounted !== 'function' || typeof _getServer !== 'function') return;
  cluster._getServer = function (server, options, callback) {
    let due = true;
    const answered = (...answer) => {
      Reflect.apply(callback, undefined, answer);
      if (due) channel.unrefCounted();
      due = false;
    };
    tree.keep();
    channel.refCounted();
    return Reflect.apply(_getServer, this, [server, options, answered]);
  };
  for (let n = process.listenerCount('message') + process.listenerCount('disconnect'); n > 0; n--) channel.unrefCounted();
};
