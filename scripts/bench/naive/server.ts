import { randomUUID } from 'node:crypto';
import jwt from '@fastify/jwt';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { createClient } from '@supabase/supabase-js';
import Fastify, { type FastifyRequest } from 'fastify';
import { NoRealtime } from '../../../src/platform/database/client/client.js';
import { accountRoutes } from './account-routes.js';
import { openTableApi } from './data-api.js';
import { orThrow } from './or-throw.js';

// For the benchmark only: the server that a reader of the device contract would write first. Each request reads the
// balance, checks it, writes it back and inserts the use, one call after the other. IT LOSES DEBITS: two requests at once
// read the same balance, and a crash between two calls leaves a debit without its use. The product has nothing of it.

const { NAIVE_DATABASE_URL = '', NAIVE_JWT_SECRET = '' } = process.env;
const TOKENS = 1_000_000_000_000;
/** As many as the server has. */
const POOL_SIZE = 10;

const UseSchema = Type.Object({ model_type: Type.String(), prompt_count: Type.Integer({ default: 1 }) });

const supabase = createClient('http://naive.invalid', 'none', {
  auth: { persistSession: false, autoRefreshToken: false },
  global: { fetch: openTableApi(NAIVE_DATABASE_URL, POOL_SIZE) },
  realtime: { transport: NoRealtime },
});

async function readBalance(request: FastifyRequest): Promise<{ id: string; allocated: number; used: number }> {
  const { sub: id } = await request.jwtVerify<{ sub: string }>();
  const [balance] = orThrow(await supabase.from('balances').select('allocated,used').eq('device_id', id)) ?? [];
  if (balance === undefined) throw new Error('unknown device');
  return { id, allocated: Number(balance['allocated']), used: Number(balance['used']) };
}

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/devices/register', async () => {
    const id = randomUUID();
    orThrow(await supabase.from('balances').insert({ device_id: id, allocated: TOKENS }));
    return { id, token: app.jwt.sign({ sub: id }) };
  });

  app.get('/devices/tokens', async (request) => {
    const { allocated, used } = await readBalance(request);
    return { allocated, used, remaining: allocated - used };
  });

  app.post('/devices/check-can-use', { schema: { body: UseSchema } }, async (request) => {
    const { allocated, used } = await readBalance(request);
    const cost = request.body.prompt_count;
    return { can_use: allocated - used >= cost, tokens_needed: cost, remaining: allocated - used };
  });

  app.post('/usage/log', { schema: { body: UseSchema } }, async (request, reply) => {
    const { id, allocated, used } = await readBalance(request);
    const { model_type: model, prompt_count: cost } = request.body;
    if (allocated - used < cost) return reply.code(403).send({ error: 'Insufficient tokens' });
    orThrow(
      await supabase
        .from('balances')
        .update({ used: used + cost })
        .eq('device_id', id),
    );
    orThrow(await supabase.from('usage_events').insert({ device_id: id, model, prompt_count: cost, cost }));
    return { tokens_used: cost, remaining: allocated - used - cost };
  });
};

const app = Fastify();
await app.register(jwt, { secret: NAIVE_JWT_SECRET });
await app.register(routes);
await app.register(accountRoutes, { supabase });
await app.listen({ port: 0, host: '127.0.0.1' });
process.send?.(app.server.address());
process.on('disconnect', () => process.exit(0));
