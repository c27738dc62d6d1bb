import { randomUUID } from 'node:crypto';
import { buildWrites, type Claims, isRefused, type Outcome, openDatabaseRoles } from '../helpers/db/database-roles.js';
import { readChecksums } from '../helpers/http/bad-input.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { openPersonWithRows, type PersonWithRows } from '../helpers/person-with-rows.js';
import t from '../helpers/run/tap.js';

const server = await openTestServer(t);
const { sql } = server.database;
const { relations, runAs, readableColumns, visible } = await openDatabaseRoles(t, server.database);

/** Creates a person with rows wherever one can have some, in the archive, too. */
async function openPerson(): Promise<PersonWithRows> {
  const person = await openPersonWithRows(server);
  await sql(
    `with month as (
       insert into private.archived_months (month, events, rollups) values ('2026-01-01Z', 1, 1) on conflict (month) do update set events = 1 returning month
     ), rollups as (
       insert into private.archived_rollups (subject_id, month, part, provider, model, source, rollups, quarters)
       select s.id, m.month, 1, 'p', 'm', 'api', 1, '{5}' from month m, unnest($1::uuid[]) s(id)
     )
     insert into private.archived_events (subject_id, since, part, user_id, source, provider, model, provenance, period, prompt_count, events, days, ids, occurred)
     select s.id, m.month, 1, $2, 'api', 'p', 'm', 'estimated', 1, 1, 1, 2, array[gen_random_uuid()], array[m.month + interval '1 day']
       from month m, unnest($1::uuid[]) s(id)`,
    [[person.user.id, person.device], person.user.id],
  );
  return person;
}

const people = [await openPerson(), await openPerson()] as const;
const stranger = await server.registerDevice();

/** Where a person has rows of their own to read. */
const OWN_TABLES = [
  'balances',
  'devices',
  'feature_events',
  'feature_rollups',
  'generations',
  'ledger_entries',
  'reservations',
  'settings',
  'settings_entries',
  'settings_versions',
  'subscription_grants',
  'subscriptions',
  'tracker_counters',
  'usage_events',
  'usage_rollups',
  'users',
];

/** The claims of the database tokens made for a person. */
function toClaims({ user, session, apiKey }: PersonWithRows) {
  return { session: { sub: user.id, sid: session }, key: { sub: user.id, key_id: apiKey } } as const;
}

for (const [number, me] of people.entries()) {
  const other = people[1 - number] ?? me;
  for (const [credential, claims] of Object.entries(toClaims(me))) {
    t.test(`with a ${credential}, person ${number + 1} reads every row of their own, and nobody else's`, async (t) => {
      const foreign = [other.user.id, other.user.email, other.device, other.session, other.apiKey, stranger.id];
      const seen: string[] = [];
      for (const relation of relations) {
        const rows = await visible(relation, claims);
        if (typeof rows === 'string') {
          t.equal(rows, '42501', `${relation.name} is closed`);
          continue;
        }
        t.notOk(
          rows.some((row) => foreign.some((secret) => row.includes(secret))),
          `${relation.name} shows nothing foreign`,
        );
        t.ok(
          rows.every((row) => row.includes(me.user.id) || row.includes(me.device)),
          `every row of ${relation.name} is their own`,
        );
        if (rows.length > 0) seen.push(relation.name.replace('public.', ''));
      }
      t.strictSame(seen.sort(), OWN_TABLES);
      const usage = await runAs('authenticated', claims, 'select source from public.usage_events order by source');
      t.strictSame(usage, [{ source: 'device' }, { source: 'tracker' }], 'of their device and their own');
    });
  }
}

t.test('no column that holds a secret may be read, and nothing in the schema of secrets', async (t) => {
  const readable: string[] = [];
  for (const relation of relations) {
    for (const column of await readableColumns(relation)) readable.push(`${relation.name}.${column}`);
  }
  t.ok(readable.length > 40);
  const secret = readable.filter((name) => /^private\.|hash|secret|password|fingerprint|token_version|key/.test(name));
  t.strictSame(secret, []);
  const kept = relations.flatMap(({ name, columns }) => columns.map((column) => `${name}.${column}`));
  t.ok(kept.some((name) => /hash/.test(name)) && kept.includes('public.devices.fingerprint_hash'), 'there are some');
});

t.test('no person writes anything in any way, not even to their own rows', async (t) => {
  const before = await readChecksums(server.database);
  for (const me of people) {
    for (const [credential, claims] of Object.entries(toClaims(me))) {
      const accepted: string[] = [];
      for (const relation of relations) {
        const others = [`lock table ${relation.name}`, `select from ${relation.name} for update`];
        for (const statement of [...buildWrites(relation), ...others]) {
          const outcome = await runAs('authenticated', claims, statement);
          if (!isRefused(outcome)) accepted.push(`${statement}: ${JSON.stringify(outcome)}`);
        }
      }
      t.strictSame(accepted, [], credential);
    }
  }
  t.strictSame(await readChecksums(server.database), before);
});

const RANGE = `(current_date - 1)::text, (current_date + 1)::text, 'UTC'`;
const QUESTIONS: Readonly<Record<string, string>> = {
  summarize_usage: `${RANGE}, '{}'`,
  ranked_usage: `array[(auth.jwt() ->> 'sub')::uuid], '{}', null, '-infinity', 'infinity'`,
  list_usage: `10, ${RANGE}`,
  usage_page: `null, 10, '-infinity', 'infinity', '{}', null, null`,
  summarize_feature_properties: `now() - interval '1 day', now() + interval '1 day', null, null`,
  summarize_features: `${RANGE}, false`,
  my_settings_changes: '0',
  archived_usage: `null, 10, '-infinity', 'infinity'`,
  own_archived_usage: `null, null, 10, '-infinity', 'infinity', '{}', null, null, false`,
  archived_rollups: `array(select a.id from public.devices a) || (auth.jwt() ->> 'sub')::uuid, '-infinity', 'infinity'`,
  own_archived_rollups: `array[${people.map(({ user }) => `'${user.id}'`).join(', ')}]::uuid[] || (auth.jwt() ->> 'sub')::uuid, '-infinity', 'infinity'`,
  own_last_use: `(select d.id from public.devices d limit 1)`,
};

/** The functions `authenticated` may call that read something (those of dates, tiers and devices' tokens do not), each with nulls for arguments, or with a question. */
const functions = await sql<{ call: string }>(
  `select format('select %I.%I(%s) as answer', n.nspname, p.proname, coalesce(
             $1::jsonb ->> p.proname,
             (select string_agg('null::' || format_type(a, null), ', ') from unnest(p.proargtypes) a)
           )) as call
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
   where n.nspname in ('public', 'private') and has_function_privilege('authenticated', p.oid, 'execute')
     and p.proname not in ('usage_range', 'day_start', 'archived_until', 'get_plan', 'effective_tier', 'current_device_id')
     and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')`,
  [JSON.stringify(QUESTIONS)],
);

const isNothing = (outcome: Outcome) =>
  outcome === 'PT401' || (typeof outcome !== 'string' && outcome.every(({ answer }) => answer === null));

/** Everything somebody with these claims can see, in tables and through functions. */
async function seenWith(claims: Claims): Promise<string[]> {
  const seen: string[] = [];
  for (const relation of relations) {
    const rows = await visible(relation, claims);
    if (rows !== '42501' && rows.length > 0) seen.push(`${relation.name}: ${rows}`);
  }
  for (const { call } of functions) {
    const outcome = await runAs('authenticated', claims, call);
    if (!isNothing(outcome)) seen.push(`${call}: ${JSON.stringify(outcome)}`);
  }
  return seen;
}

t.test("another person's session or key, or one nobody has, shows nothing", async (t) => {
  t.ok(functions.length >= 2, 'functions were found');
  const [me, other] = people;
  const { id: sub } = me.user;
  for (const [title, claims] of [
    ["another's session", { sub, sid: other.session }],
    ["another's key", { sub, key_id: other.apiKey }],
    ["one's own session and another's id", { sub: other.user.id, sid: me.session }],
    ["another's session beside one's own key", { sub, sid: other.session, key_id: me.apiKey }],
    ['a session nobody has', { sub, sid: randomUUID() }],
    ['a key nobody has', { sub, key_id: randomUUID() }],
    ['a key in place of a session', { sub, sid: me.apiKey }],
    ['a session and no id', { sid: me.session }],
    ['a key and no id', { key_id: me.apiKey }],
  ] as const) {
    t.strictSame(await seenWith(claims), [], title);
  }
});

t.test('a session that ended or expired, and a key that was deleted or expired, show nothing', async (t) => {
  for (const [title, end] of [
    ['a session that was ended', 'delete from private.sessions where user_id = $1'],
    ['a session that expired', 'update private.sessions set expires_at = now() where user_id = $1'],
    ['a key that was deleted', 'delete from private.api_keys where user_id = $1'],
    ['a key that expired', 'update private.api_keys set expires_at = now() where user_id = $1'],
    ['an account that was deleted', 'delete from users where id = $1'],
  ] as const) {
    const person = await openPerson();
    const { session, key } = toClaims(person);
    for (const claims of [session, key]) {
      t.equal((await seenWith(claims)).length, OWN_TABLES.length + functions.length, 'all was there before');
    }
    await sql(end, [person.user.id]);
    const dead = title.includes('key') ? [key] : title.includes('session') ? [session] : [session, key];
    for (const claims of dead) t.strictSame(await seenWith(claims), [], title);
  }
});

t.test('a log-out takes its session alone from the reader, a log-out of all every one', async (t) => {
  const person = await openPersonWithRows(server);
  const { session: claims } = toClaims(person);
  const payload = { email: person.user.email, password: person.user.password };
  const login = await server.app.inject({ method: 'POST', url: '/api/auth/login', payload });
  t.equal(login.statusCode, 200);
  t.ok((await seenWith(claims)).length > 0);
  await person.user.as('POST', '/api/auth/logout');
  t.strictSame(await seenWith(claims), []);
  const [left] = await sql<{ id: string }>('select id from private.sessions where user_id = $1', [person.user.id]);
  const second = left?.id ?? '';
  const remaining = { sub: person.user.id, sid: second };
  t.ok((await seenWith(remaining)).length > 0, 'the other session still reads');
  const authorization = `Bearer ${login.json<{ token: string }>().token}`;
  await server.app.inject({
    method: 'POST',
    url: '/api/auth/logout',
    headers: { authorization },
    payload: { all: true },
  });
  t.strictSame(await seenWith(remaining), []);
  await server.verifyLedger(t);
});

t.end();
