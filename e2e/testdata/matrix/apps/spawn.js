require('cross-spawn').sync('node', ['apps/plain.js'], { stdio: 'inherit' });
