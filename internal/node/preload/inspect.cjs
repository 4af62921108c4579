'use strict';
// What lets bulsa look into this process (SIGUSR1 opens Node's inspector).

// install gives the inspector a port that is free, unless the user chose one,
// and tells bulsa when the application takes SIGUSR1 for itself.
exports.install = function install() {
  const flags = [...process.execArgv, ...(process.env.NODE_OPTIONS || '').split(/\s+/)];
  if (!flags.some((flag) => /^--(inspect|debug[-_]port)/.test(flag))) process.debugPort = 0;
  process.on('newListener', (name) => {
    if (name !== 'SIGUSR1' || !process.connected) return;
    process.send({ cmd: 'NODE_BULSA', act: 'signal' }, undefined, undefined, () => {});
  });
};
