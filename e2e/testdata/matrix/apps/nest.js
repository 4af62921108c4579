require('reflect-metadata');
const { Controller, Get, Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
class Hello { get() { return `worker ${process.env.BULSA_WORKER}\n`; } }
Controller()(Hello);
Get()(Hello.prototype, 'get', Object.getOwnPropertyDescriptor(Hello.prototype, 'get'));
class App {}
Module({ controllers: [Hello] })(App);
NestFactory.create(App, { logger: false }).then((app) => { app.enableShutdownHooks(); return app.listen(process.env.PORT || 3000); });
