import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import t, { type Test } from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const meter = (...items: Record<string, string | number>[]) =>
  server.backend.database.call('meter_chat', { p_items: items }, AnyResult);
const reserve = (id: string, hold: string, outputTokens = 100) => ({
  ...{ op: 'reserve', id, hold, source: 'api', model: 'm', input_estimate: 10, output_tokens: outputTokens },
});
const note = (hold: string, seen: number) => ({
  op: 'extend',
  hold,
  output_tokens: 0,
  input_seen: 9,
  output_seen: seen,
});
const settle = (hold: string, outputTokens: number) => ({
  ...{ op: 'settle', hold, input_tokens: outputTokens && 9, output_tokens: outputTokens, provenance: 'provider_final' },
});

t.test('items of one call see what those before them did, also to the same hold', async (t) => {
  const [ada, bob] = [await userWith(server, 1_000), await userWith(server, 150)];
  const [first, second, third, fourth] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
  t.strictSame(
    await meter(
      reserve(ada.id, first),
      reserve(bob.id, second),
      reserve(ada.id, third),
      reserve(bob.id, fourth),
      reserve(bob.id, randomUUID()),
      note(randomUUID(), 1),
    ),
    [
      { output_tokens: 100, remaining: 890 },
      { output_tokens: 100, remaining: 40 },
      { output_tokens: 100, remaining: 780 },
      { output_tokens: 30, remaining: 0 },
      { code: 'INSUFFICIENT_TOKENS', requested: 11, remaining: 0 },
      { code: 'RESERVATION_NOT_FOUND' },
    ],
  );
  t.strictSame(
    await meter(
      note(first, 5),
      settle(first, 50),
      settle(second, 200),
      settle(first, 90),
      note(first, 6),
      settle(third, 0),
      settle(fourth, 0),
      settle(second, 1),
    ),
    [
      { output_tokens: 0 },
      { tokens_used: 59, remaining: 831 },
      { tokens_used: 209, remaining: 0 },
      { tokens_used: 59, remaining: 831 },
      { code: 'RESERVATION_SETTLED' },
      { tokens_used: 0, remaining: 941 },
      { tokens_used: 0, remaining: 0 },
      { tokens_used: 209, remaining: 0 },
    ],
  );
  t.strictSame(await readBalance(server, ada), { allocated: 1_000, used: 59, reserved: 0, debt: 0 });
  t.strictSame(await readBalance(server, bob), { allocated: 150, used: 150, reserved: 0, debt: 59 });
  const generations = await readGenerations(server, ada);
  const find = (id: string) => generations.find((generation) => generation.id === id);
  t.match(find(first), { status: 'settled', output_tokens: 50, output_seen: 5 });
  t.match(find(third), { status: 'released', output_tokens: 0 });
  await server.verifyLedger(t);
});

t.test('a late settlement in the middle of a call is corrected by what its neighbours left', async (t) => {
  const ada = await userWith(server, 1_000);
  const [lost, running, next] = [randomUUID(), randomUUID(), randomUUID()];
  await meter(reserve(ada.id, lost, 290));
  await server.database.sql(`update reservations set expires_at = now() - interval '1 second' where id = $1`, [lost]);
  t.match(await meter(reserve(ada.id, running)), [{ remaining: 590 }], 'what is lost is settled at its hold');
  t.strictSame(await meter(reserve(ada.id, next, 490), settle(lost, 91), settle(running, 41), settle(lost, 1)), [
    { output_tokens: 490, remaining: 90 },
    { tokens_used: 100, remaining: 290 },
    { tokens_used: 50, remaining: 350 },
    { tokens_used: 100, remaining: 350 },
  ]);
  t.match(await meter(settle(next, 0)), [{ remaining: 850 }]);
  t.strictSame(await readBalance(server, ada), { allocated: 1_200, used: 350, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

/** Opens a session of the database in which requests are made one after the other. */
async function openSession(t: Test) {
  const client = new pg.Client({ connectionString: server.database.adminUrl });
  await client.connect();
  t.after(() => client.end());
  const call = async (...items: object[]) => {
    const { rows } = await client.query('select meter_chat($1) as answers', [JSON.stringify(items)]);
    for (const { code } of rows[0]?.answers ?? []) t.notOk(code);
  };
  /** Makes some more than the five requests for which plans are made for their values alone. */
  const makeRequests = async (userId: string) => {
    for (let count = 0; count < 8; count += 1) {
      const [hold, other] = [randomUUID(), randomUUID()];
      await call(reserve(userId, hold), reserve(userId, other));
      await call(note(hold, 20));
      await call({ ...note(hold, 40), output_tokens: 100 }, note(other, 10));
      await call(settle(hold, 50), settle(other, 20));
    }
  };
  return {
    makeRequests,
    /** Makes requests in one transaction; returns the tables of which more was read than belongs to them. */
    findWholeReads: async (userId: string): Promise<unknown[]> => {
      await client.query('begin');
      await makeRequests(userId);
      const { rows } = await client.query(
        `select relname as name, seq_tup_read::integer as rows from pg_stat_xact_user_tables where seq_tup_read > 100`,
      );
      await client.query('commit');
      return rows;
    },
  };
}

t.test(
  'a session that has made its plans while tables were small does not read them whole once they have grown',
  async (t) => {
    const user = await userWith(server, 1_000_000);
    await server.database.sql('vacuum analyze');
    const session = await openSession(t);
    await session.makeRequests(user.id);
    await server.database.sql(`
    with hold as (
      insert into reservations (subject_id, amount, status, model, prompt_count, expires_at)
      select gen_random_uuid(), 5, 'released', 'm', 1, now() from generate_series(1, 1000) returning id, subject_id
    )
    insert into generations (id, subject_id, source, model, input_estimate, input_tokens, output_tokens)
    select id, subject_id, 'api', 'm', 5, 0, 0 from hold`);
    t.strictSame(await session.findWholeReads(user.id), []);
    await server.verifyLedger(t);
  },
);

t.test('no table is read as a whole, however many accounts and requests there are', async (t) => {
  const user = await userWith(server, 1_000_000);
  await server.database.sql(`
    with added as (
      insert into users (email) select 'many' || n || '@example.com' from generate_series(1, 10000) n returning id, email
    ), balance as (
      insert into balances (subject_id, subject_kind) select id, 'user' from added
    ), identity as (
      insert into private.external_identities (provider, subject, user_id, email)
      select 'google', 'google-' || email, id, email from added
    ), session as (
      insert into private.sessions (user_id, expires_at) select id, now() + interval '1 day' from added
    ), hold as (
      insert into reservations (id, subject_id, amount, status, model, prompt_count, expires_at)
      select gen_random_uuid(), id, 5, 'released', 'm', 1, now() from added returning id, subject_id
    )
    insert into generations (id, subject_id, source, model, input_estimate, input_tokens, output_tokens)
    select id, subject_id, 'api', 'm', 5, 0, 0 from hold`);
  await server.database.sql(
    `insert into model_weights (model, input_weight, output_weight) select 'many/' || n, 1, 1 from generate_series(1, 2000) n`,
  );
  await server.database.sql('analyze');
  const session = await openSession(t);
  t.strictSame(await session.findWholeReads(user.id), []);
  await server.verifyLedger(t);
});

t.end();
