import pg from 'pg';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { createUsage, linkDevice, recordAll } from '../../helpers/observed-usage.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';
import { recordUses } from '../../helpers/usage.js';

const DAY_MS = 86_400_000;
// Each day has a use in its last hour (UTC), which is where days of Berlin begin, at any time of day this runs.
const LAST_USE = (Math.floor(Date.now() / DAY_MS) - 1 / 48) * DAY_MS;
const server = await openTestServer(t);
const user = await registerUser(server);
await recordAll(
  t,
  user,
  Array.from({ length: 300 }, (_, n) =>
    createUsage({ model: `model-${n % 3}`, timestamp: LAST_USE - Math.floor((n * DAY_MS) / 4) }),
  ),
);
// A device that is linked to them, one of nobody's, and another person: each in a whole month, too.
const linked = await server.registerDevice();
await linkDevice(server, linked.id, user.id);
const unlinked = await server.registerDevice();
const other = await registerUser(server);
for (const [index, subject] of [linked.id, unlinked.id, other.id].entries()) {
  for (let daysAgo = index; daysAgo < 75; daysAgo += 3 + index) {
    const at = new Date(LAST_USE - daysAgo * DAY_MS).toISOString();
    const isDevice = subject !== other.id;
    await recordUses(server.database, {
      subject,
      at,
      count: 1 + index,
      source: isDevice ? 'device' : 'chat',
      ...(isDevice ? { device: subject } : { user: subject }),
    });
  }
}
const client = new pg.Client({ connectionString: server.database.adminUrl });
await client.connect();
t.after(() => client.end());

async function read<Row extends pg.QueryResultRow>(statement: string): Promise<Row[]> {
  // As the functions do: what is written is not a change by hand.
  await client.query(`set search_path = ''`);
  return (await client.query<Row>(statement)).rows;
}

/** Sums up what is due. Other databases of the cluster have transactions, too, that a day waits for. */
async function sumDays(): Promise<void> {
  const due = `select from private.summed_days s where s.summed_at is null or s.subjects_at is null
                union all select from private.changed_days c join private.summed_days s on s.day = c.day`;
  await untilTrue(async () => {
    await read('select private.sum_days(1000)');
    return (await read(due)).length === 0;
  });
}

/** Returns a function that draws whole numbers below a limit, from a seed that is told. */
function seeded(t: Test): (limit: number) => number {
  let state = Date.now() % 2_147_483_647;
  t.comment(`seed ${state}`);
  return (limit) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % limit;
  };
}

const date = (daysAgo: number) => new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10);

/** Everybody's summaries, by all that days are summed up for. */
async function summaries(): Promise<string[]> {
  const answers: string[] = [];
  for (const zone of ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu']) {
    for (const groups of [
      '{}',
      '{day}',
      '{day,model}',
      '{week,provider}',
      '{month,model,source}',
      '{source}',
      '{device}',
      '{user}',
      '{month,device}',
      '{day,user}',
      '{device,model}',
    ]) {
      for (const from of [date(75), `${date(35)}T09:15:00Z`]) {
        const [row] = await read<{ answer: string }>(
          `select public.summarize_usage('${from}', '${date(0)}', '${zone}', '${groups}', null)::text as answer`,
        );
        answers.push(row?.answer ?? '');
      }
    }
  }
  return answers;
}

t.test('summaries of everybody are the same from the sums of days as from the quarter hours', async (t) => {
  const before = await summaries();
  await sumDays();
  t.ok((await read('select from private.daily_usage')).length > 30, 'days are summed up');
  t.ok((await read('select from private.quarter_hour_usage')).length > 200, 'their quarter hours');
  t.ok((await read('select from private.monthly_subject_usage')).length > 8, 'and who used how much in a month');
  t.strictSame(await summaries(), before);
  await server.verifyLedger(t);
});

/** Returns which tables of usage a session of its own reads rows of. @param statement what it asks */
async function tablesRead(statement: string): Promise<string[]> {
  const fresh = new pg.Client({ connectionString: server.database.adminUrl });
  await fresh.connect();
  try {
    await fresh.query('begin read only');
    await fresh.query(statement);
    const { rows } = await fresh.query<{ name: string }>(
      `select regexp_replace(relname, '_2\\d{3}_.*', '') as name from pg_stat_xact_user_tables
        where relname ~ '^(usage_|daily_|monthly_|quarter_hour_usage)' and coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) > 0
        group by 1 order by 1`,
    );
    return rows.map(({ name }) => name);
  } finally {
    await fresh.end();
  }
}

t.test('sums of days and quarter hours are read instead of what they sum up', async (t) => {
  const ask = (zone: string) =>
    tablesRead(`select public.summarize_usage('${date(35)}', '${date(5)}', '${zone}', '{day,model}', null)`);
  t.strictSame(await ask('UTC'), ['daily_usage']);
  // The first and the last of these days begin and end within one that is not asked for as a whole.
  const ofOthers = ['daily_usage', 'quarter_hour_usage', 'usage_rollups'];
  for (const zone of ['Europe/Berlin', 'Asia/Kathmandu']) t.strictSame(await ask(zone), ofOthers);
});

/** Returns how many rows of usage a session of its own reads. @param statement what it asks */
async function rowsRead(statement: string): Promise<number> {
  const fresh = new pg.Client({ connectionString: server.database.adminUrl });
  await fresh.connect();
  try {
    await fresh.query('begin read only');
    await fresh.query(statement);
    const { rows } = await fresh.query<{ rows: number }>(
      `select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::integer as rows from pg_stat_xact_user_tables
        where relname ~ '^(usage_|daily_|monthly_|quarter_hour_usage)'`,
    );
    return rows[0]?.rows ?? 0;
  } finally {
    await fresh.end();
  }
}

t.test("everybody's use by device or person is read from what each used a day or a month", async (t) => {
  const ask = (from: number, groups: string, to = 2) =>
    `select public.summarize_usage('${date(from)}', '${date(to)}', 'UTC', '${groups}', null)`;
  t.strictSame(await tablesRead(ask(20, '{device}')), ['daily_subject_usage']);
  t.strictSame(await tablesRead(ask(20, '{day,user}')), ['daily_subject_usage']);
  t.strictSame(await tablesRead(ask(75, '{month,user}')), ['daily_subject_usage', 'monthly_subject_usage']);
  t.strictSame(
    await tablesRead(ask(20, '{device,model}')),
    ['usage_rollups'],
    'where names are asked for, there are none',
  );
  // However often each was used: a thousand more uses of a day are not one row more.
  await sumDays();
  const before = await rowsRead(ask(70, '{device}'));
  await recordUses(server.database, {
    subject: unlinked.id,
    device: unlinked.id,
    source: 'device',
    count: 1_000,
    together: 1,
    at: new Date(LAST_USE - 19 * DAY_MS).toISOString(),
  });
  for (let hour = 1; hour < 20; hour += 1) {
    await recordUses(server.database, {
      subject: unlinked.id,
      device: unlinked.id,
      source: 'device',
      count: 1,
      at: new Date(LAST_USE - 19 * DAY_MS - hour * 3_600_000).toISOString(),
    });
  }
  await sumDays();
  t.ok((await rowsRead(ask(70, '{device}'))) <= before + 1);
  await server.verifyLedger(t);
});

t.test("a list of everybody's uses of something is looked for in the days that have it", async (t) => {
  const admin = await logInAsAdmin(server);
  const list = async (query: string) => {
    const answer = await admin.as('GET', `/api/admin/usage?from=${date(90)}&to=${date(0)}&limit=100&${query}`);
    t.equal(answer.statusCode, 200);
    return answer.json<{ usage: { id: string }[] }>().usage.map(({ id }) => id);
  };
  const newest = async (condition: string) =>
    (
      await read<{ id: string }>(
        `select id from public.usage_events where ${condition} order by occurred_at desc, id desc limit 100`,
      )
    ).map(({ id }) => id);
  t.strictSame(await list('model=MODEL-1'), await newest(`model = 'model-1'`));
  t.strictSame(
    await list('model=model-2&source=extension'),
    await newest(`model = 'model-2' and source = 'extension'`),
  );
  t.strictSame(await list('model=none'), []);
  const days = (filter: string) =>
    `select (upper(d) - lower(d))::text as length
       from unnest(private.named_days('${date(35)}', '${date(5)}', '${filter}')) d`;
  t.strictSame(await read(days('{"model": "none"}')), []);
  t.strictSame(await read(days('{"model": "model-1", "source": "chat"}')), []);
  t.strictSame(await read(days('{"model": "model-1"}')), [{ length: '30 days' }]);
});

t.test(
  'what comes late, or goes, is in the next summary, and in the sums of its day once that is summed anew',
  async (t) => {
    const late = createUsage({ model: 'late', timestamp: Date.now() - 10 * DAY_MS });
    await recordAll(t, user, [late]);
    const noted = await read<{ day: string }>('select day::text from private.changed_days');
    t.ok(noted.some(({ day }) => day === date(10)));
    const before = await summaries();
    t.ok(before.some((answer) => answer.includes('"late"')));
    await server.verifyLedger(t);
    await sumDays();
    t.strictSame(await summaries(), before);

    const [event] = await read<{ id: string }>(`select id from public.usage_events where model = 'late'`);
    const deleted = await user.as('DELETE', `/api/usage/${event?.id}`);
    t.equal(deleted.statusCode, 200, deleted.body);
    const after = await summaries();
    t.notOk(after.some((answer) => answer.includes('"late"')));
    await sumDays();
    t.strictSame(await summaries(), after);
    await server.verifyLedger(t);
  },
);

t.test('the books tell of a sum that is not that of its rollups', async (t) => {
  const checks = async (full: boolean) =>
    (await read<{ name: string; ok: boolean }>(`select name, ok from public.verify_ledger(${full})`)).filter(
      ({ ok }) => !ok,
    );
  const wrong = [{ name: 'daily sums = sums of rollups', ok: false }];
  await client.query('begin');
  await read(`update private.daily_usage set cost = cost + 1 where day = '${date(12)}'`);
  t.ok((await checks(false)).some(({ name }) => name === wrong[0]?.name));
  await client.query('rollback');
  await client.query('begin');
  // Only model by model is it seen that two were mistaken for each other.
  await read(`update private.daily_usage set provider = 'mistaken' where day = '${date(12)}'`);
  t.strictSame(await checks(false), []);
  t.strictSame(await checks(true), wrong);
  await client.query('rollback');
  await client.query('begin');
  await read(
    `update private.quarter_hour_usage set events = events + 1 where bucket in (select bucket from private.quarter_hour_usage limit 1)`,
  );
  t.strictSame(await checks(false), wrong);
  await client.query('rollback');
  const subjects = [{ name: "subjects' sums = sums of rollups", ok: false }];
  await client.query('begin');
  await read('update private.monthly_subject_usage set nano_usd = nano_usd + 1');
  t.strictSame(await checks(false), subjects);
  await client.query('rollback');
  await client.query('begin');
  // Only in full it is seen that two were mistaken for each other.
  await read(`update private.daily_subject_usage set subject_id = gen_random_uuid() where day = '${date(12)}'`);
  t.strictSame(await checks(false), []);
  t.strictSame(await checks(true), subjects);
  await client.query('rollback');
  await server.verifyLedger(t);
});

/** What each used on each day and in each month, told from the events themselves. */
const FROM_EVENTS = `
  select x.part, e.subject_id, count(*) as events, sum(e.prompt_count) as prompts, sum(e.input_tokens) as input_tokens,
         sum(e.output_tokens) as output_tokens, sum(e.total_tokens) as total_tokens, sum(e.cost) as cost,
         sum(coalesce(e.nano_usd, 0)) as nano_usd
    from private.every_event e
   cross join lateral unnest(array[
     to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD'), to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM')
   ]) x(part)
   where e.occurred_at < date_trunc('day', now() - interval '24 hours', 'UTC')
   group by 1, 2`;
const FROM_SUMS = `
  select to_char(day, 'YYYY-MM-DD') as part, subject_id, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
    from private.daily_subject_usage
  union all
  select to_char(month, 'YYYY-MM'), subject_id, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
    from private.monthly_subject_usage`;

t.test('whatever comes late, goes, is archived and comes back: each is summed up as their events are', async (t) => {
  const random = seeded(t);
  const people = [user, other];
  const recorded: { id: string; by: TestUser }[] = [];
  const seal = async () => {
    const outcome = await server.backend.database.call('keep_seals', {}, AnyResult);
    if (JSON.stringify(outcome) !== '{"ran":true}') await seal();
  };
  for (let round = 0; round < 6; round += 1) {
    const by = people[round % 2] ?? user;
    const events = Array.from({ length: 1 + random(20) }, () =>
      createUsage({
        model: `model-${random(4)}`,
        inputTokens: random(1_000),
        timestamp: LAST_USE - random(70 * DAY_MS),
      }),
    );
    recorded.push(...(await recordAll(t, by, events)).map((id) => ({ id, by })));
    for (let n = random(10); n > 0; n -= 1) {
      const [gone] = recorded.splice(random(recorded.length), 1);
      if (gone !== undefined) t.equal((await gone.by.as('DELETE', `/api/usage/${gone.id}`)).statusCode, 200);
    }
    // Not all that changed is summed up each time, and some of it only once it is archived.
    await read(`select private.sum_days(${random(30)})`);
    if (round % 2 === 1) {
      await seal();
      await server.backend.database.call('archive_month', { p_keep_months: 0 }, AnyResult);
    }
  }
  t.ok((await read('select from private.archived_months')).length > 0, 'something is archived');
  await sumDays();
  t.strictSame(await read(`(${FROM_SUMS}) except (${FROM_EVENTS})`), []);
  t.strictSame(await read(`(${FROM_EVENTS}) except (${FROM_SUMS})`), []);
  t.strictSame(await read('select name from public.verify_ledger(true) where not ok'), []);
});

t.end();
