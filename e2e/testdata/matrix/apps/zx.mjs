import 'zx/globals';
$.verbose = true;
await $`node apps/plain.js`;
