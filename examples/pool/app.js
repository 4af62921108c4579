// Says who answers: a process, a container, or the server of the old times.
const from = process.env.BULSA_SERVICE || 'old';
require('http').createServer((req, res) => res.end(from + '\n')).listen(process.env.PORT || 3001);
process.on('SIGTERM', () => process.exit(0));
