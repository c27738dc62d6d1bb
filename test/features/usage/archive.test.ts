import pg from 'pg';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { createUsage, linkDevice, recordAll } from '../../helpers/observed-usage.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';
import { recordUses } from '../../helpers/usage.js';

const server = await openTestServer(t);
const { database } = server;
const admin = await logInAsAdmin(server);

/** The middle of the month that many months back, and so many days later. */
function toMiddle(monthsBack: number, days = 0): number {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - monthsBack, 10 + days, 12, 7);
}
const toLabel = (monthsBack: number) => new Date(toMiddle(monthsBack)).toISOString().slice(0, 7);
const toPartition = (monthsBack: number) => `private.usage_events_${toLabel(monthsBack).replace('-', '_')}`;
const toDate = (at: number) => new Date(at).toISOString().slice(0, 10);

async function sealAll(): Promise<void> {
  for (;;) {
    const outcome = await server.backend.database.call('keep_seals', {}, AnyResult);
    if (JSON.stringify(outcome) === '{"ran":true}') return;
  }
}
const archive = (p_keep_months = 1) => server.backend.database.call('archive_month', { p_keep_months }, AnyResult);
async function archiveAll(keep = 1): Promise<unknown[]> {
  const done: unknown[] = [];
  for (;;) {
    const outcome = await archive(keep);
    if (!JSON.stringify(outcome).includes('"archived":true')) return done;
    done.push(outcome);
  }
}
async function count(statement: string, ...values: unknown[]): Promise<number> {
  const [row] = await database.sql<{ count: number }>(`select count(*)::integer as count from ${statement}`, values);
  return row?.count ?? 0;
}
const hotEvents = (monthsBack: number, subject?: string) =>
  count(`${toPartition(monthsBack)} e where $1::uuid is null or e.subject_id = $1`, subject ?? null);
const packedEvents = (monthsBack: number, subject?: string) =>
  count(
    `private.unpacked_events u where ($1::uuid is null or u.subject_id = $1) and to_char(u.occurred_at at time zone 'UTC', 'YYYY-MM') = $2`,
    subject ?? null,
    toLabel(monthsBack),
  );

/** Sessions that wait for a lock. */
const WAITING = `pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;

/** Proves the books with and without trusting seals. */
async function verifyBoth(t: Test): Promise<void> {
  await server.verifyLedger(t);
  t.strictSame(await database.sql('select name, discrepancies from verify_ledger(true) where not ok'), []);
}

/** Reads a list to its end. */
async function readAll(send: (query: string) => ReturnType<TestUser['as']>): Promise<unknown[]> {
  const rows: unknown[] = [];
  let cursor: string | null = null;
  do {
    const answer = await send(cursor === null ? '' : `&cursor=${cursor}`);
    if (answer.statusCode !== 200) throw new Error(answer.body);
    for (const [name, value] of Object.entries(answer.json<object>())) {
      if (name === 'next_cursor') cursor = typeof value === 'string' ? value : null;
      else if (Array.isArray(value)) rows.push(...value);
    }
  } while (cursor !== null);
  return rows;
}

const ada = await registerUser(server);
const eve = await registerUser(server);
const laptop = await server.registerDevice();
const lone = await server.registerDevice();
await linkDevice(server, laptop.id, ada.id);

/** Uses that differ in all that can differ, the same with every run. */
async function fill(): Promise<void> {
  let seed = 7;
  const next = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  const people = [
    { subject: ada.id, user: ada.id },
    { subject: eve.id, user: eve.id },
    { subject: laptop.id, user: ada.id, device: laptop.id },
    { subject: laptop.id, device: laptop.id },
    { subject: lone.id, device: lone.id },
  ];
  for (const monthsBack of [5, 4, 3, 2, 1, 0]) {
    for (let n = 0; n < 14; n += 1) {
      const who = people[next(people.length)];
      if (who === undefined) continue;
      const source = who.device === undefined ? (['extension', 'chat', 'api'] as const)[next(3)] : 'device';
      await recordUses(database, {
        ...who,
        source: source ?? 'chat',
        count: 1 + next(5),
        together: 1 + next(3),
        cost: source === 'extension' ? 0 : next(4),
        model: `model-${next(4)}`,
        ...(next(3) === 0 && { url: `https://example.com/${next(3)}` }),
        at: new Date(toMiddle(monthsBack, monthsBack === 0 ? -9 : next(15)) + next(86_400_000)).toISOString(),
      });
    }
    // Chat answers say what they cost, each another number of tokens.
    await database.sql(
      `select private.record_usage_events(array_agg(row(
         gen_random_uuid(), $1::uuid, $1::uuid, null, 'chat', 'openrouter', 'model-1', 1, 10 * n, 3 * n, 13 * n + n % 2, 0,
         'provider_final', 1, null, $2::timestamptz + n * interval '1 hour', $2::timestamptz + n * interval '61 minutes',
         nullif(n % 4, 0) * 1000
       )::public.usage_events)) from generate_series(1, 20) n`,
      [eve.id, new Date(toMiddle(monthsBack, monthsBack === 0 ? -9 : 0)).toISOString()],
    );
  }
  // Somebody who uses it a lot, of whom days are packed by themselves; and a day with more models than are told apart.
  await recordUses(database, {
    subject: eve.id,
    user: eve.id,
    count: 2_100,
    together: 1,
    at: new Date(toMiddle(4, 3)).toISOString(),
  });
  const many = Array.from({ length: 103 }, (_, n) => createUsage({ model: `many-${n}`, timestamp: toMiddle(3) + n }));
  await recordAll(t, ada, many);
}

/** Everything that can be asked about usage. */
async function readEverything(): Promise<Record<string, unknown>> {
  const range = `from=${toDate(toMiddle(5, -9))}&to=${toDate(Date.now())}`;
  const answers: Record<string, unknown> = {};
  const ask = async (who: string, send: (url: string) => ReturnType<TestUser['as']>, url: string) => {
    const answer = await send(url);
    answers[`${who} ${url}`] = answer.headers['content-type']?.toString().includes('json')
      ? answer.json()
      : answer.body;
  };
  const getAsAdmin = (url: string) => admin.as('GET', url);
  for (const [who, user] of Object.entries({ ada, eve })) {
    const get = (url: string) => user.as('GET', url);
    for (const filter of ['', '&model=model-1', '&source=chat', `&device=${laptop.id}`]) {
      answers[`${who} lists ${filter}`] = await readAll((cursor) =>
        user.as('GET', `/api/usage?${range}&limit=200${filter}${cursor}`),
      );
    }
    for (const grouped of ['day,model', 'month,source&tz=America/St_Johns', 'device']) {
      await ask(who, get, `/api/usage/summary?${range}&group_by=${grouped}`);
    }
    answers[`${who}'s ledger`] = await readAll((cursor) => user.as('GET', `/api/users/me/ledger?limit=200${cursor}`));
    await ask(who, get, `/api/usage.csv?${range}`);
    await ask(who, get, '/api/users/me/devices');
    const file = (await user.as('GET', '/api/users/me/export')).json<{
      usage_events: unknown;
      ledger_entries: unknown;
    }>();
    answers[`${who}'s export`] = [file.usage_events, file.ledger_entries];
  }
  for (const device of [laptop, lone]) {
    for (const list of ['usage', 'ledger']) {
      answers[`device's ${list} ${device.id}`] = await readAll((cursor) =>
        server.as(
          device,
          'GET',
          `/api/devices/${device.id}/${list}?limit=200${list === 'usage' ? `&${range}` : ''}${cursor}`,
        ),
      );
    }
  }
  for (const filter of ['', `&user_id=${ada.id}`, '&model=model-2']) {
    answers[`everybody ${filter}`] = await readAll((cursor) =>
      admin.as('GET', `/api/admin/usage?${range}&limit=200${filter}${cursor}`),
    );
    for (const group_by of ['month,model', 'device']) {
      await ask('admin', getAsAdmin, `/api/admin/usage/summary?${range}&group_by=${group_by}${filter}`);
    }
  }
  for (const url of ['dashboard', 'overview', `devices/${laptop.id}`, 'ledger/months', `users/${ada.id}`]) {
    await ask('admin', getAsAdmin, `/api/admin/${url}`);
  }
  for (const view of ['public.usage_by_model', 'public.money_by_model', 'contracts.usage']) {
    answers[view] = await database.sql(`select v::text from ${view} v order by 1`);
  }
  return answers;
}

t.test('months are archived once they are sealed, never the running one', async (t) => {
  await fill();
  t.strictSame(await archive(0), { month: null, archived: false }, 'nothing is sealed yet');
  await sealAll();
  await verifyBoth(t);
  const before = await readEverything();
  const running = await hotEvents(0);

  const done = await archiveAll();
  t.match(
    done,
    [5, 4, 3, 2].map((monthsBack) => ({ month: toLabel(monthsBack), archived: true })),
    'oldest first, but for the newest that is over',
  );
  for (const monthsBack of [5, 4, 3, 2]) {
    t.equal(await hotEvents(monthsBack), 0);
    t.ok((await packedEvents(monthsBack)) > 0);
  }
  t.equal(await packedEvents(1), 0);
  t.equal(await hotEvents(0), running);
  t.strictSame(await archiveAll(), [], 'there is nothing left to do');
  await verifyBoth(t);

  const after = await readEverything();
  t.strictSame(Object.keys(after), Object.keys(before));
  for (const [question, answer] of Object.entries(after)) t.strictSame(answer, before[question], question);

  t.match(await archiveAll(0), [{ month: toLabel(1) }]);
  for (const [question, answer] of Object.entries(await readEverything())) {
    t.strictSame(answer, before[question], `${question}, with nothing but the running month as it was`);
  }
  await database.sql('select private.sum_days(1000)');
  await verifyBoth(t);
});

t.test('without being asked for nothing is archived', async (t) => {
  t.strictSame(await server.backend.database.call('archive_month', {}, AnyResult), { month: null, archived: false });
});

t.test(
  'an event of an archived month comes late, is known when it comes again, and is archived with the rest',
  async (t) => {
    const late = createUsage({ timestamp: toMiddle(4, 1), model: 'late' });
    const others = await packedEvents(4, ada.id);
    await recordAll(t, ada, [late]);
    t.equal(await packedEvents(4, ada.id), 0);
    t.equal(await hotEvents(4, ada.id), others + 1, 'all that ada has of the month can be changed');
    t.equal(await hotEvents(4, eve.id), 0, 'nobody else has');
    await verifyBoth(t);
    const before = await readEverything();

    t.strictSame(await archiveAll(0), [], 'what came late is proved first');
    await sealAll();
    t.match(await archiveAll(0), [{ month: toLabel(4), events: others + 1 }]);
    t.match((await ada.as('POST', '/api/usage', late)).json(), { duplicate: true });
    t.equal((await packedEvents(4, ada.id)) + (await hotEvents(4, ada.id)), others + 1);
    for (const [question, answer] of Object.entries(await readEverything())) {
      if (!question.includes('months')) t.strictSame(answer, before[question], question);
    }
    await verifyBoth(t);
  },
);

t.test('an archived event is deleted by whom it is of', async (t) => {
  await sealAll();
  await archiveAll(0);
  const event = createUsage({ timestamp: toMiddle(3, 1), model: 'wrong' });
  const [id = ''] = await recordAll(t, ada, [event]);
  await sealAll();
  await archiveAll(0);
  t.equal(await count('private.unpacked_events u where u.id = $1', id), 1);
  t.equal((await eve.as('DELETE', `/api/usage/${id}`)).statusCode, 404, 'not by others');
  t.equal((await ada.as('DELETE', `/api/usage/${id}`)).statusCode, 200);
  t.equal((await ada.as('DELETE', `/api/usage/${id}`)).statusCode, 404);
  await verifyBoth(t);
});

t.test('what comes while a month is archived is neither lost nor there twice', async (t) => {
  await sealAll();
  await archiveAll(0);
  // Of three months: one that is about to be packed has an event that came before.
  const known = createUsage({ timestamp: toMiddle(3, 2), model: 'known' });
  await recordAll(t, eve, [known]);
  await sealAll();
  const total = (await packedEvents(3)) + (await hotEvents(3));
  const late = createUsage({ timestamp: toMiddle(3, 3), model: 'meanwhile' });
  const device = await server.registerDevice();

  // Packed and proved already, and about to take the lock of whoever comes late.
  const outcomes = await meetAtLock(
    database,
    { statement: `select pg_advisory_xact_lock_shared(hashtext('private.archive'))`, waiting: 2 },
    async () => {
      const archived = archive(0);
      // It waits for those who are under way; who comes then waits behind it.
      await untilTrue(async () => (await count(WAITING)) > 0);
      const sent = Promise.all([
        ada.as('POST', '/api/usage', late),
        eve.as('POST', '/api/usage', known),
        eve.as('POST', '/api/usage', { ...late, model: 'eve' }),
      ]);
      // Debits do not even notice.
      const debited = await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
      return [await archived, debited.statusCode, ...(await sent).map((answer) => answer.json<object>())];
    },
  );
  t.match(outcomes, [
    { month: toLabel(3), archived: true },
    200,
    { duplicate: false },
    { duplicate: true },
    { duplicate: false },
  ]);
  t.equal((await packedEvents(3)) + (await hotEvents(3)), total + 2);
  await verifyBoth(t);

  // Who was there first, and has not committed, is waited for, and what they wrote is packed, too.
  await sealAll();
  const at = new Date(toMiddle(3, 4)).toISOString();
  const first = new pg.Client({ connectionString: database.adminUrl });
  await first.connect();
  try {
    await first.query(
      `begin; set local search_path = ''; select pg_advisory_xact_lock_shared(hashtext('private.archive'))`,
    );
    const archived = archive(0);
    await untilTrue(async () => (await count(WAITING)) > 0);
    await first.query(
      `select private.record_new_usage_events(array[row(
         gen_random_uuid(), $1::uuid, $1::uuid, null, 'extension', 'p', 'first', 1, 1, 1, 2, 0, 'client_reported', 1, null,
         $2::timestamptz, now(), null
       )::public.usage_events])`,
      [lone.id, at],
    );
    await first.query('commit');
    t.match(await archived, { archived: true });
  } finally {
    await first.end();
  }
  t.equal(await hotEvents(3), 0);
  t.equal(await packedEvents(3), total + 3);
  await verifyBoth(t);
});

t.test('a month whose archiving breaks off is as it was', async (t) => {
  await recordAll(t, ada, [createUsage({ timestamp: toMiddle(2, 1), model: 'again' })]);
  await sealAll();
  const before = await readEverything();
  const holder = new pg.Client({ connectionString: database.adminUrl });
  await holder.connect();
  try {
    await holder.query(`begin; select pg_advisory_xact_lock_shared(hashtext('private.archive'))`);
    const broken = archive(0).then(
      () => 'done',
      () => 'broken off',
    );
    await untilTrue(async () => (await count(WAITING)) > 0);
    await database.sql(`select pg_terminate_backend(pid) from ${WAITING}`);
    t.equal(await broken, 'broken off');
    await holder.query('rollback');

    // Who reads the month for long, as a backup does, is not disturbed.
    await holder.query(`begin; select from ${toPartition(2)} limit 1`);
    t.strictSame(await archive(0), { month: toLabel(2), archived: false });
    await holder.query('rollback');
  } finally {
    await holder.end();
  }
  for (const [question, answer] of Object.entries(await readEverything()))
    t.strictSame(answer, before[question], question);
  await verifyBoth(t);
  t.match(await archive(0), { month: toLabel(2), archived: true });
  await verifyBoth(t);
});

t.test('what upstream corrects, and what an account says it tracked, is set right in archived months', async (t) => {
  const user = await registerUser(server);
  const at = new Date(toMiddle(3)).toISOString();
  await recordUses(database, { subject: user.id, user: user.id, count: 2, source: 'tracker', at });
  await database.sql(`insert into tracker_counters (user_id, prompts, tokens) values ($1, 2, 60)`, [user.id]);
  const [generation] = await database.sql<{ id: string }>(
    `with hold as (
       insert into reservations (subject_id, amount, status, model, prompt_count, expires_at, created_at, closed_at)
       values ($1, 30, 'settled', 'm', 1, $2, $2, $2) returning *
     ), generation as (
       insert into generations (id, subject_id, source, model, input_estimate, provenance, input_tokens, output_tokens)
       select id, subject_id, 'chat', 'm', 10, 'provider_final', 10, 20 from hold returning *
     ), event as (
       select private.record_usage_events(array[row(
         id, subject_id, subject_id, null, 'chat', 'unknown', 'm', 1, 10, 20, 30, 30, 'provider_final', 1, null, $2, $2, null
       )::usage_events]) from hold
     )
     update balances set used = used + 30 from event, generation where balances.subject_id = $1 returning generation.id`,
    [user.id, at],
  );
  await sealAll();
  await archiveAll(0);
  t.equal(await packedEvents(3, user.id), 3);
  await database.sql(
    `select private.change_event_money(g, 'provider_final', 5000) from generations g where g.id = $1`,
    [generation?.id],
  );
  t.strictSame(await database.sql(`select nano_usd from usage_events where id = $1`, [generation?.id]), [
    { nano_usd: '5000' },
  ]);
  await verifyBoth(t);
  await sealAll();
  await archiveAll(0);
  const right = await user.as('PUT', '/api/users/me/tracker', { prompts: 7, tokens: 9 });
  t.equal(right.statusCode, 200);
  await verifyBoth(t);
});

t.test('whoever deletes their account is taken out of the archive', async (t) => {
  const mallory = await registerUser(server);
  const device = await server.registerDevice();
  await linkDevice(server, device.id, mallory.id);
  const url = 'https://example.com/secret';
  const at = new Date(toMiddle(3)).toISOString();
  await recordUses(database, { subject: mallory.id, user: mallory.id, count: 3, url, at });
  await recordUses(database, {
    subject: device.id,
    user: mallory.id,
    device: device.id,
    count: 2,
    source: 'device',
    url,
    at,
  });
  await sealAll();
  await archiveAll(0);
  t.equal(await count('private.archived_events a where $1 = any (a.urls)', url), 2);
  const deleted = await mallory.as('DELETE', '/api/users/me', { password: mallory.password });
  t.equal(deleted.statusCode, 200);
  for (const again of [false, true]) {
    if (again) {
      await sealAll();
      await archiveAll(0);
    }
    t.strictSame(
      await database.sql(
        `select from private.every_event e where e.url = $1 or e.user_id = $2 and e.subject_id <> $2`,
        [url, mallory.id],
      ),
      [],
    );
    t.equal((await packedEvents(3, device.id)) + (await hotEvents(3, device.id)), 2, 'what the device used stays');
    await verifyBoth(t);
  }
});

t.test('retention drops archived months, and what they debited stays in the books', async (t) => {
  await sealAll();
  await archiveAll(0);
  const summaries = async () => {
    const range = `from=${toDate(toMiddle(5, -9))}&to=${toDate(toMiddle(3, 20))}`;
    return (await admin.as('GET', `/api/admin/usage/summary?${range}&group_by=month,device`)).json<object>();
  };
  const before = await summaries();
  for (const monthsBack of [5, 4]) {
    t.strictSame(await server.backend.database.call('drop_expired_month', { p_retention_months: 3 }, AnyResult), {
      month: toLabel(monthsBack),
      dropped: true,
    });
    t.equal(await packedEvents(monthsBack), 0);
  }
  t.ok((await packedEvents(3)) > 0);
  t.strictSame(await summaries(), before, 'rollups stay');
  await verifyBoth(t);
  const late = await ada.as('POST', '/api/usage', createUsage({ timestamp: toMiddle(4) }));
  t.match(late.json(), { recorded: true, summary_only: true }, 'what comes late is counted with them');
  await verifyBoth(t);
  await sealAll();
  t.match(await archiveAll(0), [{ month: toLabel(4), events: 0 }]);
  await verifyBoth(t);
});

t.end();
