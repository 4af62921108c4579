'use strict';
console.error('cannot reach the database');
process.exit(3);
