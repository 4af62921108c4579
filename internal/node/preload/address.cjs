'use strict';
// The client's address. A connection from bulsa is one end of a socketpair,
// which has no peer address, and bulsa uses it for the requests of many
// clients. The last element of Forwarded is always written by bulsa itself; it
// becomes what req.socket.remoteAddress, remotePort and remoteFamily say, and
// X-Forwarded-Proto what req.socket.encrypted does: as if the client were there.
// Then the element is taken away: beside X-Forwarded-For few applications look at it,
// and some complain (express-rate-limit, ERR_ERL_FORWARDED_HEADER).

const diagnostics = require('diagnostics_channel');
const begun = require('./begun.cjs');

// install watches connections that bulsa made (newconn with its mark, or
// accepted by one of servers, sockets that nobody else can reach). What a
// client says about itself on any other connection is not believed. inHeader: the
// socket stays bulsa's, on loopback, and headers alone tell of the client.
exports.install = function install(servers, inHeader) {
  const handles = new WeakSet();
  const tell = begun.install();
  process.prependListener('internalMessage', (message, handle) => {
    if (!message || message.cmd !== 'NODE_CLUSTER') return;
    if (message.act === 'newconn' && message.bulsa && handle) handles.add(handle);
    if (message.act === 'disconnect') closeAfterAnswers();
  });
  diagnostics.subscribe('net.server.socket', ({ socket }) => {
    const passed = handles.has(socket._handle);
    if (!passed && !servers.has(socket.server)) return;
    watch(socket, inHeader);
    if (passed) tell(socket);
  });
};

// watch sets the address before the server sees a request, so that it is right
// for 'request', 'upgrade', 'connect' and 'checkContinue' alike (the channel
// http.server.request.start is silent for upgrades).
function watch(socket, inHeader) {
  const parser = socket.parser;
  socket._peername = LOOPBACK;
  if (!parser || typeof parser.onIncoming !== 'function') return; // no HTTP server
  const onIncoming = parser.onIncoming;
  let last = '';
  parser.onIncoming = function (request, keepAlive) {
    try {
      const { forwarded = '', 'x-forwarded-for': list = '', 'x-forwarded-proto': proto } = request.headers;
      const now = forwarded || list;
      if (now !== last && !inHeader) socket._peername = forwarded ? fromForwarded(forwarded) : fromList(list);
      last = now;
      if (!inHeader) encrypt(socket, proto === 'https');
      if (forwarded) forget(request, forwarded);
    } catch {
      socket._peername = UNKNOWN;
    }
    return Reflect.apply(onIncoming, this, [request, keepAlive]);
  };
}

// encrypt is what Express, Koa, Fastify and cookie libraries ask first: a connection
// of bulsa's carries requests that came by TLS and others.
function encrypt(socket, secure) {
  if (secure) socket.encrypted = true;
  else if (socket.encrypted) delete socket.encrypted;
}

// forget leaves of Forwarded what other proxies have said.
function forget(request, forwarded) {
  const rest = forwarded.slice(0, Math.max(0, lastComma(forwarded))).trim();
  const { headers, rawHeaders } = request;
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    if (rawHeaders[i].toLowerCase() !== 'forwarded') continue;
    if (rest) rawHeaders[i + 1] = rest;
    else rawHeaders.splice(i, 2);
    break;
  }
  if (rest) headers.forwarded = rest;
  else delete headers.forwarded;
}

// A request without a client is bulsa's own: a health check.
const LOOPBACK = Object.freeze({ address: '127.0.0.1', family: 'IPv4', port: 0 });
const UNKNOWN = Object.freeze({});

// fromForwarded reads RFC 7239: for="192.0.2.1:47011", for="[2001:db8::1]:4711".
function fromForwarded(header) {
  const pair = /(?:^|;)\s*for=(?:"([^"]*)"|([^;\s]*))/i.exec(lastElement(header));
  const node = pair ? pair[1] || pair[2] : '';
  const at = /^(?:\[([0-9a-f:.%]+)\]|([0-9.]+))(?::(\d+))?$/i.exec(node);
  if (!at) return UNKNOWN; // for=unknown: a client on a unix socket
  return peer(at[1] || at[2], Number(at[3] || 0));
}

function lastElement(header) {
  return header.slice(lastComma(header) + 1).trim();
}

// lastComma reads from the right: what stands before the last element comes
// from elsewhere and may be malformed. -1: there is one element.
function lastComma(header) {
  let quoted = false;
  for (let i = header.length - 1; i >= 0; i--) {
    if (header[i] === '"' && !escaped(header, i)) quoted = !quoted;
    else if (header[i] === ',' && !quoted) return i;
  }
  return -1;
}

// escaped: an odd number of backslashes stands before i (RFC 9110, quoted-pair).
function escaped(header, i) {
  let n = 0;
  while (header[i - 1 - n] === '\\') n++;
  return n % 2 === 1;
}

function fromList(header) {
  const address = header.slice(header.lastIndexOf(',') + 1).trim();
  return address ? peer(address, 0) : LOOPBACK;
}

function peer(address, port) {
  return { address, family: address.includes(':') ? 'IPv6' : 'IPv4', port };
}

// closeAfterAnswers makes clients that hold a connection of their own (TLS,
// mode rr) let go of it: bulsa has asked the worker to end.
function closeAfterAnswers() {
  diagnostics.subscribe('http.server.request.start', ({ response }) => {
    response.shouldKeepAlive = false;
  });
}
