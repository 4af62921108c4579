// A server with requests that end it, each in its own way, after a moment in which
// others are in it.
const { setTimeout: after } = require('timers');

const fill = (kept) => {
  for (;;) kept.push(new Array(100000).fill(kept.length));
};

const killers = {
  '/crash': () => after(() => undefinedFunction(), 1), // eslint-disable-line no-undef
  '/workerKiller': () => after(() => process.exit(1), 1),
  '/kill': () => process.kill(process.pid, 'SIGKILL'),
  '/oom': () => after(() => fill([]), 1),
};

require('http').createServer((request, response) => {
  const kill = killers[request.url];
  if (kill) kill();
  else response.end('Hello, World!');
}).listen(3000);
