import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { openHostedDatabase } from '../helpers/db/hosted-database.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { openPersonWithRows } from '../helpers/person-with-rows.js';
import t, { type Test } from '../helpers/run/tap.js';

const { database, owner, studio } = await openHostedDatabase(t);
const server = await openTestServer(t, { database });
const { user } = await openPersonWithRows(server);
const device = await server.registerDevice(100);

interface Line {
  readonly actor: string;
  readonly action: string;
  readonly target: string | null;
  readonly before: unknown;
  readonly after: unknown;
}

const ask = async <Row extends object>(text: string, values: unknown[] = []) =>
  (await studio.query<Row & pg.QueryResultRow>(text, values)).rows;

/** Runs statements in a transaction that is rolled back, and returns the error or the lines of the audit log they wrote. */
async function attempt(...statements: string[]): Promise<{ refusal: string; lines: Line[] }> {
  await studio.query('begin');
  try {
    const [{ last = '0' } = {}] = await ask<{ last: string }>('select coalesce(max(id), 0) as last from audit_log');
    for (const statement of statements) await studio.query(statement);
    return { refusal: '', lines: await ask<Line>('select * from audit_log where id > $1 order by id', [last]) };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return { refusal: error.message, lines: [] };
  } finally {
    await studio.query('rollback');
  }
}

/** Runs a statement as Studio does, and returns the lines of the audit log it wrote. */
async function edit(statement: string, values: unknown[] = []): Promise<Line[]> {
  const [{ last = '0' } = {}] = await ask<{ last: string }>('select coalesce(max(id), 0) as last from audit_log');
  await studio.query(statement, values);
  return ask<Line>('select actor, action, target, before, after from audit_log where id > $1 order by id', [last]);
}

async function proveBooks(t: Test): Promise<void> {
  for (const full of [false, true]) {
    const wrong = await ask('select name, discrepancies from verify_ledger($1) where not ok', [full]);
    t.strictSame(wrong, [], full ? 'the books add up without seals' : 'the books add up');
  }
  t.equal((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).statusCode, 200, 'the server serves');
}

const tables = await ask<{ name: string; partition: boolean; column: string }>(`
  select format('%I.%I', n.nspname, c.relname) as name, c.relispartition as partition,
         (select quote_ident(a.attname) from pg_attribute a 
           where a.attrelid = c.oid and a.attnum > 0 and a.attidentity = '' and not a.attisdropped order by a.attnum limit 1) as column
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p') and n.nspname in ('public', 'private') order by 1`);
const functions = new Set((await ask<{ name: string }>('select proname as name from pg_proc')).map(({ name }) => name));

/** Statements that are let through, each with a line in the audit log; tables whose rows may be edited change nothing here. */
const LET_THROUGH: Readonly<Record<string, readonly string[]>> = {
  'public.users': ['update'],
  'public.devices': ['update'],
  'public.plans': ['update'],
  'public.model_costs': ['insert', 'update'],
  'public.model_weights': ['insert', 'update', 'delete'],
  'private.admin_sessions': ['delete'],
  'private.api_keys': ['delete'],
  'private.sessions': ['delete'],
  'private.login_attempts': ['delete'],
  'private.known_addresses': ['delete'],
};
/** What an empty row would be refused for before the trigger sees it. */
const INSERTS: Readonly<Record<string, string>> = {
  'public.usage_rollups': `insert into public.usage_rollups values (gen_random_uuid(), now(), 'p', 'm', 'device', 1, 1, 1, 1, 2, 1)`,
  'public.usage_totals': `insert into public.usage_totals values ('2020-01-01', 0, 1, 1, 1, 1, 2, 1)`,
  'public.model_costs': `insert into public.model_costs values ('new', 2)`,
  'public.model_weights': `insert into public.model_weights values ('new', 2, 2)`,
};

for (const mode of ['origin', 'replica']) {
  t.test(`a hand in any table is refused or written down, with session_replication_role = ${mode}`, async (t) => {
    t.ok(tables.length > 55 && tables.some(({ partition }) => partition), 'the partitions are among them');
    const wrong: string[] = [];
    for (const { name, column } of tables) {
      const statements = {
        insert: INSERTS[name] ?? `insert into ${name} default values`,
        update: `update ${name} set ${column} = ${column}`,
        delete: `delete from ${name}`,
        truncate: `truncate ${name} cascade`,
      };
      for (const [kind, statement] of Object.entries(statements)) {
        const { refusal, lines } = await attempt(`set local session_replication_role = ${mode}`, statement);
        const isLetThrough = LET_THROUGH[name]?.includes(kind) === true;
        const [, called = ''] = /([a-z_]+)\(/.exec(refusal) ?? [];
        const isWrittenDown = refusal === '' && lines.every(({ actor }) => actor === `sql:${owner}`);
        if (isLetThrough ? !isWrittenDown : !functions.has(called)) wrong.push(`${kind} ${name}: ${refusal}`);
      }
    }
    t.strictSame(wrong, []);
    await proveBooks(t);
  });
}

t.test('many ways lead to a balance, and none past the ledger', async (t) => {
  const change = `update balances set allocated = allocated + 10, period = 7 where subject_id = '${device.id}'`;
  for (const way of [
    change,
    'update only public.balances set used = 0',
    `do $$ begin ${change}; end $$`,
    `create function public.mine() returns void language sql as $f$ ${change} $f$; select mine()`,
    `create view public.mine as select * from balances; update mine set allocated = 5`,
    `merge into balances b using devices d on d.id = b.subject_id when matched then update set allocated = 7`,
    `with new as (${change} returning 1) select * from new`,
    `insert into balances (subject_id, subject_kind) values (gen_random_uuid(), 'device') on conflict do nothing`,
  ]) {
    t.match((await attempt(way)).refusal, /balances is not changed by hand: call grant_tokens\(/, way);
  }
});

t.test('what may be edited in the table editor takes effect, and the audit log has it', async (t) => {
  const use = () => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  const other = await server.registerDevice();
  const actor = `sql:${owner}`;
  const blocked = 'update "public"."devices" set "blocked" = $2 where "id" = any ($1) returning *';
  const lines = await edit(blocked, [[device.id, other.id], true]);
  t.strictSame(
    [...lines].sort((a, b) => String(a.target).localeCompare(String(b.target))),
    [device.id, other.id].sort().map((id) => ({
      ...{
        actor,
        action: 'update_devices',
        target: `device:${id}`,
        before: { blocked: false },
        after: { blocked: true },
      },
    })),
  );
  t.match((await use()).json(), { code: 'DEVICE_BLOCKED' });
  t.equal((await edit(blocked, [[device.id, other.id], true])).length, 0, 'what changes nothing is not written down');
  await edit(blocked, [[device.id], false]);
  t.equal((await use()).statusCode, 200);

  const [suspended] = await edit(`update users set suspended_at = now(), name = 'Private' where id = $1`, [user.id]);
  t.match(suspended, { actor, action: 'update_users', before: { suspended_at: null } });
  t.notMatch(JSON.stringify(suspended), 'Private', 'what is personal is not written down');
  t.match((await user.as('GET', '/api/users/me')).json(), { code: 'ACCOUNT_SUSPENDED' });
  await edit('update users set suspended_at = null where id = $1', [user.id]);

  t.match(await edit(`update plans set monthly_tokens = 7, device_limit = null where tier = 'pro'`), [
    {
      actor,
      target: 'plan:pro',
      before: { monthly_tokens: 5_000_000, device_limit: 25 },
      after: { monthly_tokens: 7 },
    },
  ]);
  const costs = await edit(`insert into model_costs (model, cost) values ('gpt-5', 2)`);
  t.match(costs, [{ actor, action: 'insert_model_costs', target: 'model:gpt-5', after: { cost: 2 } }]);
  t.equal((await use()).json<{ tokens_used: number }>().tokens_used, 2);
  t.equal((await edit(`delete from model_costs where model = 'gpt-5'`)).length, 1);
  t.match((await edit('delete from private.api_keys where user_id = $1', [user.id]))[0]?.action, 'delete_api_keys');
  t.match((await edit('delete from private.sessions where user_id = $1', [user.id]))[0]?.action, 'delete_sessions');
  t.equal((await user.as('GET', '/api/users/me')).statusCode, 401);
  await proveBooks(t);
});

t.test('columns that mean more than they say are refused, with the function that changes them', async (t) => {
  for (const [statement, sentence] of [
    [
      `update devices set token_version = 1, blocked = true`,
      /may be changed by hand in name, blocked, not in .*rotate_device\(/,
    ],
    [`update devices set user_id = null`, /release_device\(/],
    [`update users set email = 'a@b.example'`, /not in email: verify_person\(/],
    [`update plans set tier = 'free' where tier = 'pro'`, /duplicate key|give_plan\(/],
    [`delete from model_costs`, /the price of all other models .* set_model_costs\(\)/],
    [
      `update private.usage_events_${new Date().toISOString().slice(0, 7).replace('-', '_')} set cost = 0`,
      /meter_devices\(\)/,
    ],
  ] as const) {
    // A row that would not change is not looked at.
    await database.sql('update devices set token_version = 3 where id = $1', [device.id]);
    t.match((await attempt(statement)).refusal, sentence, statement);
  }
  await database.sql('update devices set token_version = 1 where id = $1', [device.id]);
});

t.test('damaged books can be repaired by hand, with a reason that is written down', async (t) => {
  const damage = `update balances set allocated = allocated + 5 where subject_id = '${device.id}'`;
  const { refusal, lines } = await attempt(`select set_config('tokenledger.by_hand', 'disk trouble', true)`, damage);
  t.equal(refusal, '');
  t.match(lines, [
    {
      actor: `sql:${owner}`,
      action: 'change_by_hand',
      target: 'table:public.balances',
      after: { why: 'disk trouble' },
    },
  ]);
  t.match((await attempt(damage)).refusal, /grant_tokens\(/, 'the next transaction is like any other');
  t.match(
    (await attempt(`select set_config('tokenledger.by_hand', '${randomUUID()}', true)`, 'delete from audit_log'))
      .refusal,
    /append-only/,
  );
  await proveBooks(t);
});

t.end();
