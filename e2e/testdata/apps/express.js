'use strict';
const express = require('express');
const app = express();
app.get('/', (req, res) => res.json({ ip: req.ip, protocol: req.protocol, host: req.get('host') }));
app.listen(Number(process.env.LISTEN));
