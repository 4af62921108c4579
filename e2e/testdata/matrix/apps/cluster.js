const cluster = require('cluster');
if (cluster.isPrimary) for (let i = 0; i < 2; i++) cluster.fork();
else require('./plain.js');
