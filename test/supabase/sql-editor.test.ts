import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { registerUser } from '../helpers/accounts.js';
import { openHostedDatabase } from '../helpers/db/hosted-database.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const { database, owner, studio } = await openHostedDatabase(t);
const server = await openTestServer(t, { database });

await t.test('the statements of the documentation run as they are over the demo data', async (t) => {
  await studio.query('set tokenledger.seed_anyway = on');
  await studio.query(await readFile(join(SUPABASE_DIRECTORY, 'seed.sql'), 'utf8'));
  const page = await readFile(join(PROJECT_ROOT, 'docs/supabase.md'), 'utf8');
  const [, section = ''] = page.split('\n## Changing things by hand\n');
  const blocks = [...section.matchAll(/^```sql\n(.*?)^```$/gms)].map(([, text = '']) => text);
  t.equal(blocks.length, 2);
  for (const block of blocks) {
    // Of several statements the driver returns a result each.
    for (const { command, rowCount } of [await studio.query(block)].flat()) {
      if (block.includes('grant_tokens') && command === 'SELECT') t.not(rowCount, 0, 'it is about somebody');
    }
  }
  const actors = await studio.query('select distinct actor from audit_log');
  t.ok(actors.rows.some(({ actor }) => actor === `sql:${owner}`));
  await server.verifyLedger(t);
});

const user = await registerUser(server);
const device = await server.registerDevice(100);
const other = await server.registerDevice(100);

/** Selects the result of one function, as the SQL editor does. */
async function call(text: string): Promise<unknown> {
  const { rows } = await studio.query<{ result: unknown }>(`select ${text} as result`);
  return rows[0]?.result;
}

/** Returns the sentence a call is refused with. */
async function refusal(text: string): Promise<string> {
  return call(text).then(
    (result) => `not refused: ${JSON.stringify(result)}`,
    (error: unknown) => (error instanceof pg.DatabaseError ? error.message : String(error)),
  );
}

async function lastLine(): Promise<unknown> {
  const { rows } = await studio.query('select actor, action, target, after from audit_log order by id desc limit 1');
  return rows[0];
}

const actor = `sql:${owner}`;

t.test('tokens are granted, taken back and moved with entries of the ledger and a reason', async (t) => {
  t.match(await call(`grant_tokens('${device.id}', 50, 'a present')`), { device_id: device.id, allocated: 150 });
  t.match(await lastLine(), { actor, action: 'allocate', target: `device:${device.id}`, after: { why: 'a present' } });
  t.match(await call(`take_back_tokens('${device.id}', 20, 'too many')`), { allocated: 130 });
  const moved = await call(`transfer_tokens('${device.id}', '${other.id}', 30, 'asked for')`);
  t.match(moved, { device_id: other.id, allocated: 130, from: { device_id: device.id, allocated: 100 } });
  t.match(await call(`grant_tokens(find_person('${user.email.toUpperCase()}'), 7, 'hello')`), { user_id: user.id });

  const once = `grant_tokens('${device.id}', 5, 'once', 'key')`;
  const first = await call(once);
  t.strictSame(await call(once), first, 'the same key again does nothing more');
  t.match(await refusal(`grant_tokens('${device.id}', 6, 'once', 'key')`), /key was used for something else/);

  const { rows } = await studio.query(
    `select kind, amount::integer from ledger_entries where actor = $1 and subject_id = $2 order by created_at, amount`,
    [actor, device.id],
  );
  t.strictSame(rows, [
    { kind: 'grant', amount: 50 },
    { kind: 'adjustment', amount: -20 },
    { kind: 'transfer', amount: -30 },
    { kind: 'grant', amount: 5 },
  ]);
  t.match(await call(`set_pool('device', 200, 'no more')`), { total: 200 });
  t.match(
    await refusal(`grant_tokens('${device.id}', 300, 'more')`),
    /The pool has \d+ tokens left and 300 were asked for: set_pool\(\)/,
  );
  await call(`set_pool('device', null, 'no limit')`);
});

t.test('several devices are granted tokens in one statement', async (t) => {
  const { rowCount } = await studio.query(
    `select grant_tokens(id, 1, 'for all') from devices where deleted_at is null order by id`,
  );
  t.ok((rowCount ?? 0) > 2);
  await server.verifyLedger(t);
});

t.test('devices are blocked, renamed, rotated, released and removed', async (t) => {
  const use = async () => (await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' })).statusCode;
  t.match(await call(`block_device('${device.id}', 'lost')`), { blocked: true });
  t.match(await lastLine(), { actor, action: 'block_device', after: { why: 'lost' } });
  t.equal(await use(), 403);
  const before = await lastLine();
  await call(`block_device('${device.id}', 'again')`);
  t.strictSame(await lastLine(), before, 'what is so already is not written down again');
  t.match(await call(`unblock_device('${device.id}')`), { blocked: false });
  t.equal(await use(), 200);
  t.match(await call(`rename_device('${device.id}', ' Desk ')`), { name: 'Desk' });
  await call(`rotate_device('${device.id}')`);
  t.equal(await use(), 401);
  await database.sql('update devices set user_id = $2 where id = $1', [other.id, user.id]);
  await call(`release_device('${other.id}', 'sold')`);
  t.match(await lastLine(), { actor, action: 'release_device' });
  t.match(await call(`remove_device('${other.id}', 'sold')`), { device_id: other.id, returned: 131 });
});

t.test('people are added, verified, suspended, given a plan and removed', async (t) => {
  const standing = async () => (await user.as('GET', '/api/users/me')).statusCode;
  t.match(await call(`add_person('Ada@Example.com', 10)`), { email: 'ada@example.com' });
  t.match(await call(`verify_person(find_person('ada@example.com'), 5)`), { email: 'ada@example.com' });
  await call(`suspend_person('${user.id}', 'unpaid')`);
  t.equal(await standing(), 403);
  await call(`resume_person('${user.id}')`);
  t.equal(await standing(), 200);
  t.match(await call(`give_plan('${user.id}', 'pro')`), { tier: 'pro' });
  t.match(await call(`end_person_sessions('${user.id}', true)`), { ended: 1 });
  t.equal(await standing(), 401);
  t.match(await call(`remove_person(find_person('ada@example.com'), 'asked')`), { deleted: true });
  t.match(await call('start_period(40, true)'), { default_tokens: 40 });
  await server.verifyLedger(t);
});

t.test('what cannot be done is said in a sentence', async (t) => {
  const nobody = randomUUID();
  for (const [text, sentence] of [
    [
      `grant_tokens('${nobody}', 5, 'why')`,
      `There is no device or person ${nobody}: device_overview and user_overview list them`,
    ],
    [`grant_tokens(null, 5, 'why')`, 'There is no device or person null: device_overview and user_overview list them'],
    [
      `grant_tokens('${device.id}', -5, 'why')`,
      'The number of tokens is positive, unlike -5: take_back_tokens() takes tokens back',
    ],
    [`grant_tokens('${device.id}', 5, ' ')`, 'Say why: the last argument is a text that goes into the audit log'],
    [`grant_tokens('${device.id}', 9007199254740991, 'why')`, 'No balance can hold that many tokens'],
    [
      `take_back_tokens('${device.id}', 5000, 'why')`,
      'Only 40 tokens are neither used nor held, and 5000 were to be taken',
    ],
    [`transfer_tokens('${device.id}', '${device.id}', 1, 'why')`, 'Tokens move between two: both are the same'],
    [`transfer_tokens('${device.id}', '${user.id}', 1, 'why')`, /neither becomes the other/],
    [`grant_tokens('${other.id}', 5, 'why')`, /There is no device or person/],
    [`block_device('${nobody}')`, `There is no device ${nobody}: device_overview lists them`],
    [`remove_device('${user.id}', 'why')`, `There is no device ${user.id}: device_overview lists them`],
    [`rename_device('${device.id}', '')`, 'A device’s name has 1 to 200 characters'.replace('’', "'")],
    [`set_pool('devices', 5, 'why')`, 'There are two pools, device and user'],
    [`set_pool('device', -5, 'why')`, /^A pool has 0 to/],
    [`start_period(40)`, 'A period has ended in this month already: a second argument of true ends another'],
    [`add_person('${user.email}')`, 'Somebody has this address already: find_person() finds them'],
    [`add_person('nobody')`, 'This is no address: nobody'],
    [`find_person('nobody@example.com')`, 'Nobody has the address nobody@example.com: user_overview lists everybody'],
    [`suspend_person('${device.id}')`, /^There is no person/],
    [`give_plan('${user.id}', 'gold')`, 'There is no tier gold: they are free, pro and premium'],
  ] as const) {
    t.match(await refusal(text), sentence, text);
  }
  await server.verifyLedger(t);
});

t.test('no API role may call what is for the SQL editor', async (t) => {
  const { rows } = await studio.query<{ name: string; allowed: boolean }>(
    `select p.proname as name, has_function_privilege(r, p.oid, 'execute') as allowed
       from pg_proc p cross join unnest(array['anon', 'authenticated', 'service_role', 'authenticator']) r
      where p.pronamespace = 'public'::regnamespace and obj_description(p.oid) like 'For the SQL editor:%'`,
  );
  t.ok(rows.length >= 4 * 18);
  t.strictSame(
    rows.filter(({ allowed }) => allowed),
    [],
  );
});

t.end();
