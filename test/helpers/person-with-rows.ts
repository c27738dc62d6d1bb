import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, type TestUser } from './accounts.js';
import type { TestServer } from './http/test-server.js';
import { signUp } from './tracker.js';

/** A person with a row wherever one can have some: all that another must not see. */
export interface PersonWithRows {
  readonly user: TestUser;
  /** Id of a device linked to them. */
  readonly device: string;
  readonly session: string;
  readonly apiKey: string;
}

/** Creates a person with rows in every table there may be some of theirs. */
export async function openPersonWithRows(server: TestServer): Promise<PersonWithRows> {
  const { sql } = server.database;
  const findId = async (query: string, id: string) => (await sql<{ id: string }>(query, [id]))[0]?.id ?? '';
  const user = await registerUser(server, { name: 'Somebody' });
  await createApiKey(user);
  const device = await server.registerDevice();
  await sql('update devices set user_id = $2 where id = $1', [device.id, user.id]);
  const use = { model_type: 'gpt-5' };
  await server.as(device, 'POST', '/api/usage/log', { ...use, event_id: 'logged' });
  await server.as(device, 'POST', '/api/devices/check-can-use', { ...use, reserve: true });
  const headers = { authorization: `Bearer ${await signUp(server, user.email)}` };
  const payload = { usage: 1, tokenCount: 1, event_id: 'tracked' };
  await server.app.inject({ method: 'POST', url: '/api/trackUsage', headers, payload });
  await user.as('POST', '/api/events', { name: `used by ${user.id}`, properties: { ms: 1 } });
  await user.as('PUT', '/api/users/me/settings', { settings: { owner: user.id } });
  const changes = { ahead: { value: user.id, updated_at: Date.now() + 3_600_000 } };
  await user.as('POST', '/api/sync/push', { base_version: 1, changes, device: 'laptop' });
  await sql(
    `insert into private.external_identities (provider, subject, user_id, email) values ('google', $1, $2, $3)`,
    [randomUUID(), user.id, user.email],
  );
  await sql(
    `with customer as (
       insert into subscriptions (user_id) values ($1) returning user_id
     )
     insert into subscription_grants (user_id, stripe_invoice_id, stripe_subscription_id, tier, renewal, period_start,
                                      period_end, net_tokens, granted_tokens)
     select user_id, 'in_' || user_id, 'sub_' || user_id, 'pro', true, now(), now(), 0, 0 from customer`,
    [user.id],
  );
  await sql(
    `with hold as (
       insert into reservations (subject_id, amount, model, prompt_count, expires_at)
       values ($1, 1, 'gpt-5', 1, now() + interval '10 minutes') returning id, subject_id
     ), held as (
       update balances set reserved = reserved + 1 where subject_id = $1
     )
     insert into generations (id, subject_id, source, model, input_estimate) select id, subject_id, 'chat', 'gpt-5', 1 from hold`,
    [user.id],
  );
  return {
    user,
    device: device.id,
    session: await findId('select id from private.sessions where user_id = $1', user.id),
    apiKey: await findId('select id from private.api_keys where user_id = $1', user.id),
  };
}
