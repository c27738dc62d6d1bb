import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import Fastify from 'fastify';
import { openDirectCalls } from './stage/direct.js';

// For the benchmark only: the least that a server can do which answers a request from the database. Fastify as it is, one
// route, one prepared call on a connection of its own; nobody is asked who they are, nothing is checked, counted or logged.

const { BARE_DATABASE_URL = '', BARE_CALLS = '[]' } = process.env;

const CallsSchema = Type.Array(
  Type.Object({
    name: Type.String(),
    args: Type.Record(Type.String(), Type.Unknown()),
    claims: Type.Optional(Type.Record(Type.String(), Type.String())),
  }),
);

const calls = await openDirectCalls(BARE_DATABASE_URL, Value.Decode(CallsSchema, JSON.parse(BARE_CALLS)));
const app = Fastify();
app.post<{ Params: { connection: number } }>(
  '/calls/:connection',
  { schema: { params: Type.Object({ connection: Type.Integer() }) } },
  (request) => calls.send(request.params.connection),
);
await app.listen({ port: 0, host: '127.0.0.1' });
process.send?.(app.server.address());
process.on('disconnect', () => process.exit(0));
