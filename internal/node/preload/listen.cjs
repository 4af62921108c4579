'use strict';
// Mode listen: the fallback that needs nothing of Node's cluster. listen() on a
// TCP port becomes listen() on a unix socket of this worker's own; the
// application sees the port that it asked for.

const net = require('net');
const fs = require('fs');
const { isHTTP } = require('./begun.cjs');

// rewrite changes net.Server; the first server gets the path, further ones
// path.2, path.3, ... It returns the set of changed servers.
exports.rewrite = function rewrite(path) {
  const { listen, address } = net.Server.prototype;
  const known = new WeakSet();
  const names = new WeakMap();
  const open = new Set();
  let count = 0;

  net.Server.prototype.listen = function (...args) {
    const wish = parse(args);
    if (!wish) return Reflect.apply(listen, this, args);
    count++;
    const own = count === 1 ? path : `${path}.${count}`;
    removeStale(own);
    known.add(this);
    names.set(this, wish.name);
    this.once('listening', () => {
      open.add(this);
      report('listening', own, { ...wish, http: isHTTP(this) });
    });
    this.once('close', () => {
      open.delete(this);
      report('close', own, wish);
    });
    const { backlog, signal } = wish;
    return Reflect.apply(listen, this, [{ path: own, backlog, signal, exclusive: true }, ...wish.callback]);
  };

  net.Server.prototype.address = function () {
    const real = Reflect.apply(address, this, []);
    return real && names.has(this) ? { ...names.get(this) } : real;
  };

  process.prependListener('internalMessage', (message) => {
    if (message && message.cmd === 'NODE_CLUSTER' && message.act === 'disconnect') {
      for (const server of open) server.close();
    }
  });
  return known;
};

// removeStale removes what a predecessor that was killed has left. It must not
// look at the socket first, as rmSync does (join.cjs, joinCluster).
function removeStale(path) {
  try {
    fs.unlinkSync(path);
  } catch {
    // There is none; else listen() will say what is wrong.
  }
}

// parse reads the ways to call listen(); undefined for all that is not TCP.
function parse(args) {
  const callback = args.filter((a) => typeof a === 'function').slice(-1);
  const [first, host, backlog] = args;
  if (first === undefined || first === null || typeof first === 'function') return wishOf({}, callback);
  if (isPort(first)) return wishOf({ port: first, host: typeof host === 'string' ? host : undefined, backlog }, callback);
  if (typeof first !== 'object' || first.path || first.fd >= 0 || first._handle || first.handle) return undefined;
  return isPort(first.port) ? wishOf(first, callback) : undefined;
}

function isPort(p) {
  return (typeof p === 'number' || (typeof p === 'string' && p.trim() !== '')) && p >= 0 && p <= 65535;
}

function wishOf({ port = 0, host, backlog, signal }, callback) {
  const v4 = host && net.isIPv4(host);
  const name = { address: v4 || (host && net.isIPv6(host)) ? host : '::', family: v4 ? 'IPv4' : 'IPv6', port: Number(port) };
  return { name, host, callback, signal, backlog: typeof backlog === 'number' ? backlog : undefined };
}

// report tells where the server is reached (key), and what it was to listen on.
function report(act, path, { name, host, http }) {
  if (!process.connected) return;
  const addressType = host && net.isIPv6(host) ? 6 : 4;
  const message = { cmd: 'NODE_BULSA', act, key: path, address: host || null, port: name.port, addressType, fd: -1, http };
  process.send(message, undefined, undefined, () => {});
}
