import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
const server = new ApolloServer({ typeDefs: 'type Query { worker: String }', resolvers: { Query: { worker: () => `worker ${process.env.BULSA_WORKER}\n` } }, csrfPrevention: false });
await startStandaloneServer(server, { listen: { port: Number(process.env.PORT || 3000) } });
