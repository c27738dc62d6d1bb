import { findBulkChanges } from '../../../src/features/admin/bulk/carry-on.js';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { meetAtLock, poolLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

/** What is done in one transaction. */
const CHUNK = 100;

interface BulkChange {
  readonly id: string;
  readonly state: string;
  readonly runs: boolean;
  readonly changed: number;
  readonly ended_at: string | null;
}

let server: TestServer;
let admin: TestAdmin;
t.before(async () => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

/** Registers devices whose name begins with a word, and begins to give each a token. */
async function beginFor(word: string, count: number, asker = admin): Promise<string> {
  const devices = await Promise.all(Array.from({ length: count }, () => server.registerDevice()));
  const ids = devices.map(({ id }) => id);
  await server.database.sql('update devices set name = $1 where id = any ($2)', [`${word} device`, ids]);
  const body = { q: word, action: 'allocate', tokens: 1 };
  return (await asker.as('POST', '/api/admin/devices/bulk-changes', body)).json<BulkChange>().id;
}

const read = async (id: string) => (await admin.as('GET', `/api/admin/bulk-changes/${id}`)).json<BulkChange>();
const ended = (id: string) =>
  until('it is over', async () => {
    const change = await read(id);
    return change.runs ? undefined : change;
  });
const countGiven = async (word: string) => {
  const [row] = await server.database.sql<{ given: number; most: number }>(
    `select sum(b.allocated - 50)::integer as given, max(b.allocated - 50)::integer as most
       from balances b join devices d on d.id = b.subject_id where d.name = $1`,
    [`${word} device`],
  );
  return row;
};

/** Has the server do a change as some admin, but tells no process of it: as if the one that was told had gone. */
async function runUnnoticed(id: string, username: string): Promise<void> {
  await server.database.sql(
    `select run_bulk_change(jsonb_build_object('id', a.id, 'version', a.version, 'session_id', s.id,
              'second_factor_required', false), $1)
       from private.admins a join private.admin_sessions s on s.admin_id = a.id
      where a.username = $2 and s.user_agent is distinct from 'bulk-change' limit 1`,
    [id, username],
  );
}
const carryOn = async () => {
  const [row] = await server.database.sql<{ done: object }>('select carry_on_bulk_change() as done');
  return row?.done;
};
const countSessions = async (asker = admin) => (await asker.as('GET', '/api/admin/sessions')).json<object[]>().length;

t.test('the server does all of it by itself, each once, and says when that was', async (t) => {
  const id = await beginFor('orchard', CHUNK + 5);
  const asked = await meetAtLock(server.database, poolLock('device', 1), async () => {
    const answer = await admin.as('POST', `/api/admin/bulk-changes/${id}/run`);
    const program = (await admin.as('GET', '/api/admin/sessions')).json<{ user_agent: string }[]>();
    t.ok(
      program.some(({ user_agent }) => user_agent === 'bulk-change'),
      'in a session that its admin can end',
    );
    return answer;
  });
  t.equal(asked.statusCode, 202);
  t.match(asked.json(), { state: 'running', runs: true, changed: 0, ended_at: null });
  t.match(await ended(id), { state: 'done', changed: CHUNK + 5, left: 0, ended_at: String });
  t.strictSame(await countGiven('orchard'), { given: CHUNK + 5, most: 1 });
  t.equal(await countSessions(), 1, 'which is over with it');
  t.match((await admin.as('POST', `/api/admin/bulk-changes/${id}/run`)).json(), { state: 'done', runs: false });
  const audit = (await admin.as('GET', `/api/admin/audit?target=bulk_change:${id}`)).json();
  t.match(audit.entries, [{ actor: 'admin:root', action: 'begin_bulk_change' }]);
  await server.verifyLedger(t);
});

t.test('it can be paused, by another admin too, who continues it in a name of their own', async (t) => {
  const other = await logInAsAdmin(server, 'olga', 'operator');
  const id = await beginFor('meadow', CHUNK + 5);
  await runUnnoticed(id, 'root');
  await runUnnoticed(id, 'root');
  t.equal(await countSessions(), 2, 'told twice, it is done once');
  t.match(await carryOn(), { id, runs: true });
  const paused = await other.as('POST', `/api/admin/bulk-changes/${id}/pause`);
  t.match(paused.json(), { state: 'running', runs: false, changed: CHUNK, left: 5, ended_at: null });
  t.match(await carryOn(), { id: null }, 'nothing is done meanwhile');
  t.equal((await other.as('POST', `/api/admin/bulk-changes/${id}/run`)).statusCode, 202);
  t.match(await ended(id), { state: 'done', changed: CHUNK + 5 });
  const [entry] = await server.database.sql(
    `select count(*) filter (where e.actor = 'admin:olga')::integer as olga, count(*)::integer as all_of_them
       from ledger_entries e join devices d on d.id = e.subject_id
      where d.name = 'meadow device' and e.actor like 'admin:%'`,
  );
  t.strictSame(entry, { olga: 5, all_of_them: CHUNK + 5 });
  await server.verifyLedger(t);
});

t.test('what a server had begun that is gone, the next one does, also after a sign-out', async (t) => {
  const leaving = await logInAsAdmin(server, 'lena', 'operator');
  const id = await beginFor('harbour', CHUNK + 1, leaving);
  await runUnnoticed(id, 'lena');
  await leaving.as('POST', '/api/admin/logout');
  t.equal((await leaving.as('GET', '/api/admin/me')).statusCode, 401);
  await carryOn();
  // As it looks for what waits every minute, and when it starts.
  findBulkChanges(server.app).wake();
  t.match(await ended(id), { state: 'done', changed: CHUNK + 1 });
  t.strictSame(await countGiven('harbour'), { given: CHUNK + 1, most: 1 });
  await server.verifyLedger(t);
});

t.test('two servers at once do none twice', async (t) => {
  const id = await beginFor('valley', CHUNK + 1);
  await runUnnoticed(id, 'root');
  await meetAtLock(server.database, poolLock('device', 1), () => Promise.all([carryOn(), carryOn()]));
  findBulkChanges(server.app).wake();
  t.match(await ended(id), { state: 'done', changed: CHUNK + 1 });
  t.strictSame(await countGiven('valley'), { given: CHUNK + 1, most: 1 });
  await server.verifyLedger(t);
});

t.test('it stops with the right of the admin in whose name it is done', async (t) => {
  const [olga] = await server.database.sql<{ id: string }>(`select id from private.admins where username = 'olga'`);
  const id = await beginFor('island', CHUNK + 1);
  await runUnnoticed(id, 'olga');
  await carryOn();
  await admin.as('PATCH', `/api/admin/admins/${olga?.id}`, { role: 'viewer' });
  t.match(await carryOn(), { id, runs: false });
  t.match(await read(id), { state: 'running', runs: false, changed: CHUNK, left: 1 });
  t.match(await carryOn(), { id: null });
  const stopped = await admin.as('DELETE', `/api/admin/bulk-changes/${id}`);
  t.match(stopped.json(), { state: 'stopped', left: 1, ended_at: String });
  t.match((await admin.as('POST', `/api/admin/bulk-changes/${id}/run`)).json(), { state: 'stopped', runs: false });
  await server.verifyLedger(t);
});

t.test('a viewer has nothing done, and there may be no such change', async (t) => {
  const viewer = await logInAsAdmin(server, 'vera', 'viewer');
  const missing = '/api/admin/bulk-changes/00000000-0000-4000-8000-000000000000';
  for (const act of ['run', 'pause']) {
    t.match((await viewer.as('POST', `${missing}/${act}`)).json(), { code: 'INSUFFICIENT_ROLE' });
    t.match((await admin.as('POST', `${missing}/${act}`)).json(), { code: 'BULK_CHANGE_NOT_FOUND' });
  }
});

t.end();
