'use strict';
// Joining late: npm, npx, tsx and their like are Node processes themselves and
// would take Node's own NODE_CHANNEL_FD for themselves. So the channel waits
// under a number that survives them, until the first process that is none of them.

const fs = require('fs');
const path = require('path');
const { managers, packages } = require('./wrappers.json');

// isApplication tells the user's program from the wrappers before it.
exports.isApplication = function isApplication() {
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
};

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
// NODE_UNIQUE_ID (lib/internal/process/pre_execution.js), by the same functions.
exports.joinCluster = function joinCluster(fd, id) {
  // bigint: the buffer of other calls is one that Node's realpath, and so every
  // later require(), reads again: it takes what it finds there for the file's own.
  const stat = fs.fstatSync(fd, { bigint: true });
  if (!stat.isSocket()) return;
  if (process.channel) leaveWrapper();
  require('child_process')._forkChild(fd, 'json');
  process.env.NODE_UNIQUE_ID = id;
  require('cluster')._setupWorker();
  delete process.env.NODE_UNIQUE_ID;
};

// A wrapper may have given the process a channel of its own (tsx does): it
// stays open, but process.send is bulsa's now.
function leaveWrapper() {
  process.channel.unref();
  for (const name of ['send', '_send', 'disconnect', '_disconnect', 'connected', 'channel']) delete process[name];
  process.removeAllListeners('internalMessage');
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
    channel.refCounted();
    return Reflect.apply(_getServer, this, [server, options, answered]);
  };
  for (let n = process.listenerCount('message') + process.listenerCount('disconnect'); n > 0; n--) channel.unrefCounted();
};
