'use strict';
// A runtime that speaks the cluster's protocol, but takes no end of a socketpair
// for a connection: its clients' own sockets only.
const { Pipe } = process.binding('pipe_wrap');

const { emit } = process;
process.emit = function (event, message, handle) {
  if (event === 'internalMessage' && message?.act === 'newconn' && handle instanceof Pipe) {
    handle.close();
    process.send({ cmd: 'NODE_CLUSTER', ack: message.seq, accepted: false });
    return true;
  }
  return Reflect.apply(emit, this, arguments);
};
