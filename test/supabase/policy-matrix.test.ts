import { randomUUID } from 'node:crypto';
import { type Claims, isRefused, openDatabaseRoles, type Relation } from '../helpers/db/database-roles.js';
import { readChecksums } from '../helpers/http/bad-input.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { openPersonWithRows } from '../helpers/person-with-rows.js';
import t from '../helpers/run/tap.js';

const server = await openTestServer(t);
const { sql } = server.database;
const { relations, runAs, readableColumns } = await openDatabaseRoles(t, server.database);

/** What somebody sees of a table: every row of their own and no other, none, or not even the table. */
type Sight = 'own' | 'nothing' | 'refused' | 'FOREIGN ROWS' | 'NOT ALL OF THEIR OWN';

const PEOPLE_AND_DEVICES = { person: 'own', device: 'own' } as const;
const PEOPLE = { person: 'own', device: 'nothing' } as const;
const CLOSED = { person: 'refused', device: 'refused' } as const;
/** What a person and a device see of every table and view of `public` and `contracts`. A new one is written down here, or this fails. */
const EXPECTED: Readonly<Record<string, { readonly person: Sight; readonly device: Sight }>> = {
  audit_log: CLOSED,
  balances: PEOPLE_AND_DEVICES,
  budgets: CLOSED,
  'contracts.settings': CLOSED,
  'contracts.subscriptions': CLOSED,
  'contracts.usage': CLOSED,
  'contracts.users': CLOSED,
  device_overview: CLOSED,
  devices: PEOPLE_AND_DEVICES,
  feature_events: PEOPLE,
  feature_rollups: PEOPLE,
  generations: PEOPLE,
  ledger_entries: PEOPLE_AND_DEVICES,
  model_costs: CLOSED,
  model_weights: CLOSED,
  money_by_model: CLOSED,
  period_balances: CLOSED,
  periods: CLOSED,
  plans: CLOSED,
  reservations: PEOPLE_AND_DEVICES,
  settings: PEOPLE,
  settings_entries: PEOPLE,
  settings_versions: PEOPLE,
  subscription_grants: PEOPLE,
  subscriptions: PEOPLE,
  tracker_counters: PEOPLE,
  usage_by_day: CLOSED,
  usage_by_model: CLOSED,
  usage_events: PEOPLE_AND_DEVICES,
  usage_rollups: PEOPLE_AND_DEVICES,
  usage_totals: CLOSED,
  user_overview: CLOSED,
  users: PEOPLE,
};

const tables = relations.filter(({ name }) => !name.startsWith('private.'));
const toTable = ({ name }: Relation) => name.replace('public.', '');

const [me, ended, deleted, other, suspended] = [
  await openPersonWithRows(server),
  await openPersonWithRows(server),
  await openPersonWithRows(server),
  await openPersonWithRows(server),
  await openPersonWithRows(server),
];
const anonymous = await server.registerDevice();
await server.as(anonymous, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
await server.as(anonymous, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
await ended.user.as('POST', '/api/auth/logout', { all: true });
await sql('select delete_account($1)', [{ id: deleted.user.id, session_id: deleted.session }]);
await sql('update users set suspended_at = now() where id = $1', [suspended.user.id]);
await sql('update devices set blocked = true where id = $1', [ended.device]);
await sql('update devices set token_version = token_version + 1 where id = $1', [other.device]);

interface Identity {
  readonly role: string;
  readonly claims: Claims;
  /** Ids whose rows are theirs. */
  readonly own: readonly string[];
  readonly expected: (table: string) => Sight | undefined;
}

const see = (who: 'person' | 'device') => (table: string) => EXPECTED[table]?.[who];
/** What is open to others is empty to somebody whose credential has ended. */
const seeNothing = (table: string) => (EXPECTED[table]?.person === 'refused' ? 'refused' : 'nothing');
const authenticated = (
  claims: Claims,
  own: readonly string[],
  expected: Identity['expected'] = seeNothing,
): Identity => ({
  role: 'authenticated',
  claims,
  own,
  expected,
});
const asDevice = (id: string): Claims => ({ device_id: id, device_version: '1' });

const IDENTITIES: Readonly<Record<string, Identity>> = {
  anon: { role: 'anon', claims: {}, own: [], expected: () => 'refused' },
  'service_role, whose functions read for it': { role: 'service_role', claims: {}, own: [], expected: () => 'refused' },
  'a person with a session': authenticated(
    { sub: me.user.id, sid: me.session },
    [me.user.id, me.device],
    see('person'),
  ),
  'a person with an API key': authenticated(
    { sub: me.user.id, key_id: me.apiKey },
    [me.user.id, me.device],
    see('person'),
  ),
  'a person whose session has ended': authenticated({ sub: ended.user.id, sid: ended.session }, [ended.user.id]),
  'a person whose account is deleted': authenticated({ sub: deleted.user.id, sid: deleted.session }, [deleted.user.id]),
  'a person who is suspended': authenticated({ sub: suspended.user.id, sid: suspended.session }, [suspended.user.id]),
  'a person who never was': authenticated({ sub: randomUUID() }, []),
  'a device that is linked': authenticated(asDevice(me.device), [me.device], see('device')),
  'a device of nobody': authenticated(asDevice(anonymous.id), [anonymous.id], see('device')),
  'a device that is blocked': authenticated(asDevice(ended.device), [ended.device]),
  'a device whose token was rotated': authenticated(asDevice(other.device), [other.device]),
  'a device whose account is deleted': authenticated(asDevice(deleted.device), [deleted.device]),
  'a device without a version': authenticated({ device_id: me.device }, [me.device]),
  'claims that name nobody': authenticated({}, []),
};

/** Looks at a table as somebody: compares what they see with all rows that name one of their ids. */
async function look(table: Relation, { role, claims, own }: Identity): Promise<Sight> {
  const columns = (await readableColumns(table)).join(', ') || '*';
  const rows = await runAs(role, claims, `select ${columns} from ${table.name}`);
  if (rows === '42501') return 'refused';
  if (typeof rows === 'string') throw new Error(`${table.name} answered ${rows}`);
  if (rows.length === 0) return 'nothing';
  const texts = rows.map((row) => JSON.stringify(row));
  if (!texts.every((text) => own.some((id) => text.includes(id)))) return 'FOREIGN ROWS';
  const [all] = await sql<{ count: number }>(
    `select count(*)::integer as count from ${table.name} r
      where exists (select from unnest($1::text[]) id where r::text like '%' || id || '%')`,
    [own],
  );
  return all?.count === rows.length ? 'own' : 'NOT ALL OF THEIR OWN';
}

t.test('every table and view of public and contracts is written down, and every one written down exists', async (t) => {
  t.strictSame(tables.map(toTable).sort(), Object.keys(EXPECTED).sort());
});

for (const [who, identity] of Object.entries(IDENTITIES)) {
  t.test(`${who} sees of each table what is written down`, async (t) => {
    const seen: Record<string, Sight> = {};
    for (const table of tables) seen[toTable(table)] = await look(table, identity);
    t.strictSame(seen, Object.fromEntries(tables.map((table) => [toTable(table), identity.expected(toTable(table))])));
  });
}

/** Builds every way to write to a table's own or foreign rows. */
function buildWritesTo({ name, columns }: Relation, rows: readonly string[]): string[] {
  const [first = ''] = columns;
  const where = `where r::text like any (array[${rows.map((id) => `'%${id}%'`).join()}]::text[])`;
  return [
    `insert into ${name} select r.* from ${name} r ${where}`,
    `update ${name} r set ${first} = ${first} ${where}`,
    `delete from ${name} r ${where}`,
    `merge into ${name} t using (select 1) s on true when matched then delete`,
    `truncate ${name}`,
  ];
}

t.test('nobody writes to any table, be the rows their own or not', async (t) => {
  const before = await readChecksums(server.database);
  const accepted: string[] = [];
  for (const [who, identity] of Object.entries(IDENTITIES)) {
    for (const table of tables) {
      for (const rows of [identity.own, [me.user.id, me.device, other.user.id]]) {
        for (const statement of buildWritesTo(table, rows)) {
          const outcome = await runAs(identity.role, identity.claims, statement);
          if (!isRefused(outcome)) accepted.push(`${who}: ${statement}: ${JSON.stringify(outcome)}`);
        }
      }
    }
  }
  t.strictSame(accepted, []);
  t.strictSame(await readChecksums(server.database), before);
  await server.verifyLedger(t);
});

t.test('a policy that lets too much or too little through is seen', async (t) => {
  const identity = authenticated(asDevice(anonymous.id), [anonymous.id]);
  const devices = tables.find((table) => toTable(table) === 'devices') ?? { name: '', columns: [] };
  await sql('alter policy devices_read_own on devices using (true)');
  t.equal(await look(devices, identity), 'FOREIGN ROWS');
  await sql('alter policy devices_read_own on devices using (false)');
  t.equal(await look(devices, identity), 'nothing');
  await sql('create policy planted on devices for delete to authenticated using (true)');
  await sql('grant delete on devices to authenticated');
  // Grants and policies are what is looked at here; this stands behind them.
  await sql('alter table devices disable trigger by_hand');
  t.notOk(isRefused(await runAs('authenticated', identity.claims, `delete from devices where id = '${randomUUID()}'`)));
});

t.end();
