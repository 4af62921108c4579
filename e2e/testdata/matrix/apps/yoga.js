const { createSchema, createYoga } = require('graphql-yoga');
const yoga = createYoga({ schema: createSchema({ typeDefs: 'type Query { worker: String }', resolvers: { Query: { worker: () => `worker ${process.env.BULSA_WORKER}\n` } } }), logging: false });
require('http').createServer(yoga).listen(process.env.PORT || 3000);
