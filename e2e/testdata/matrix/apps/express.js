require('express')().get('/', (q, a) => a.send(`worker ${process.env.BULSA_WORKER}\n`)).listen(process.env.PORT || 3000);
