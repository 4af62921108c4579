'use strict';
// Telling bulsa that the application now gets a request, by an interim answer
// that bulsa keeps for itself. When the worker dies, a request that must not
// happen twice, or is too long to be kept whole once it has begun, can then be
// given to another if this one had not begun it.

const diagnostics = require('diagnostics_channel');
const path = require('path');

const GREETING = 'bulsa: tells\n'; // the first bytes of a connection on which it is told
const BEGUN = 'HTTP/1.1 102 Processing\r\nBulsa: begun\r\n\r\n';

// What may happen twice (RFC 9110, section 9.2.2) and is short need not be told of.
const UNTOLD = 32 * 1024;
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

// install returns what begins to tell of the requests on a new connection. The
// channel speaks right before 'request', 'checkContinue' and 'checkExpectation'.
exports.install = function install() {
  const telling = new WeakSet();
  diagnostics.subscribe('http.server.request.start', ({ request, socket }) => {
    if (isDue(request) && telling.has(socket) && socket.writable) socket.write(BEGUN);
  });
  return (socket) => {
    if (!SPEAKS || !socket.parser || !socket.writable || socket.bytesWritten > 0) return;
    telling.add(socket);
    socket.write(GREETING);
  };
};

// promise has bulsa know, before the first connection, which servers speak HTTP, of
// which it will be told, and whose sources it may ask about PORT: Node repeats the
// options in its message to the primary.
exports.promise = function promise() {
  const cluster = require('cluster');
  const { _getServer } = cluster;
  if (typeof _getServer !== 'function') return;
  cluster._getServer = function (server, options, callback) {
    const http = isHTTP(server);
    const told = { ...options, http, tells: http && SPEAKS, script: process.argv[1], metrics: hasLoaded('prom-client') };
    return Reflect.apply(_getServer, this, [server, told, callback]);
  };
};

// hasLoaded looks among the modules that are loaded already.
function hasLoaded(name) {
  const folder = `${path.sep}node_modules${path.sep}${name}${path.sep}`;
  return Object.keys(require.cache).some((file) => file.includes(folder));
}

// isHTTP loads no module that the application has not.
function isHTTP(server) {
  return 'maxHeadersCount' in server && server instanceof require('http').Server;
}
exports.isHTTP = isHTTP;

function isDue({ method, headers }) {
  return !IDEMPOTENT.has(method) || 'transfer-encoding' in headers || headers['content-length'] > UNTOLD;
}

// Node has the channel since 18.8 and 16.18.
const [MAJOR, MINOR] = process.versions.node.split('.').map(Number);
const SPEAKS = MAJOR > 18 || (MAJOR === 18 && MINOR >= 8) || (MAJOR === 16 && MINOR >= 18);
