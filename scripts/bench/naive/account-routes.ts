import { randomBytes, randomUUID } from 'node:crypto';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { SupabaseClient } from '@supabase/supabase-js';
import argon2 from 'argon2';
import type { FastifyRequest } from 'fastify';
import { hashPassword } from '../../../src/auth/passwords.js';
import { orThrow } from './or-throw.js';

const MONTH_MS = 30 * 86_400_000;

const LoginSchema = Type.Object({ email: Type.String(), password: Type.String() });
const ChangesSchema = Type.Object({ changes: Type.Record(Type.String(), Type.Unknown()) });

/** What `account_events` holds of a use. */
interface NaiveUse {
  readonly model: string;
  readonly tokens: number;
  readonly occurred_at: string;
}

// For the benchmark only: what a reader of the account contracts would write first, one query after the other. IT LOSES
// SETTINGS: two pushes at once read the same values, and the second to write takes back what the first changed.
export const accountRoutes: FastifyPluginAsyncTypebox<{ supabase: SupabaseClient }> = async (app, { supabase }) => {
  const readId = async (request: FastifyRequest) => (await request.jwtVerify<{ sub: string }>()).sub;

  app.post('/accounts/register', { schema: { body: Type.Pick(LoginSchema, ['password']) } }, async (request) => {
    const id = randomUUID();
    const password_hash = await hashPassword(request.body.password);
    orThrow(await supabase.from('accounts').insert({ id, email: `${id}@example.com`, password_hash }));
    orThrow(await supabase.from('settings').insert({ account_id: id, data: '{}' }));
    return { id, token: app.jwt.sign({ sub: id }) };
  });

  app.post('/auth/login', { schema: { body: LoginSchema } }, async (request, reply) => {
    const { email, password } = request.body;
    const [account] = orThrow(await supabase.from('accounts').select('id,password_hash').eq('email', email)) ?? [];
    const isRight = account !== undefined && (await argon2.verify(String(account['password_hash']), password));
    if (!isRight) return reply.code(401).send({ error: 'Wrong password' });
    const refresh_token = randomBytes(32).toString('base64url');
    orThrow(await supabase.from('sessions').insert({ account_id: account['id'], refresh_token }));
    return { token: app.jwt.sign({ sub: String(account['id']) }), refresh_token };
  });

  app.get('/usage/summary', async (request) => {
    const since = new Date(Date.now() - MONTH_MS).toISOString();
    const uses = await supabase
      .from('account_events')
      .select('model,tokens,occurred_at')
      .eq('account_id', await readId(request))
      .gte('occurred_at', since)
      .overrideTypes<NaiveUse[], { merge: false }>();
    const groups = new Map<string, { day: string; model: string; uses: number; tokens: number }>();
    for (const { model, tokens, occurred_at } of orThrow(uses) ?? []) {
      const day = occurred_at.slice(0, 10);
      const group = groups.get(`${day} ${model}`) ?? { day, model, uses: 0, tokens: 0 };
      groups.set(`${day} ${model}`, { ...group, uses: group.uses + 1, tokens: group.tokens + tokens });
    }
    return { groups: [...groups.values()] };
  });

  app.post('/sync/push', { schema: { body: ChangesSchema } }, async (request) => {
    const id = await readId(request);
    const [settings] = orThrow(await supabase.from('settings').select('data').eq('account_id', id)) ?? [];
    const data = { ...Object(settings?.['data']), ...request.body.changes };
    orThrow(
      await supabase
        .from('settings')
        .update({ data: JSON.stringify(data) })
        .eq('account_id', id),
    );
    return { settings: data };
  });
};
