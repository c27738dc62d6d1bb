import { AnyResult } from '../../src/platform/database/client/database.js';
import { registerUser } from '../helpers/accounts.js';
import { openTestCluster } from '../helpers/db/test-database.js';
import { runScript, startScript } from '../helpers/http/run-script.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';
import { untilTrue } from '../helpers/until.js';
import { recordUses } from '../helpers/usage.js';

const database = await openTestCluster(t);
const server = await openTestServer(t, { database });
const { id: person } = await registerUser(server);
const ELSEWHERE = /archives or seals months at the moment: run this again later/;

/** Has a sealed month of uses, so many months back. */
async function fillMonth(monthsBack: number): Promise<void> {
  const now = new Date();
  for (const day of [5, 6, 20]) {
    const at = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - monthsBack, day, 12, 7)).toISOString();
    await recordUses(database, { subject: person, user: person, source: 'chat', count: 40, cost: 2, model: 'm', at });
  }
  for (let outcome = ''; outcome !== '{"ran":true}'; ) {
    outcome = JSON.stringify(await server.backend.database.call('keep_seals', {}, AnyResult));
  }
}

const environment = { DATABASE_URL: database.adminUrl };
const args = ['--keep', '0'];
const archive = (t: Test) => runScript(t, 'archive', args, environment);
const archived = () => database.sql('select from private.archived_months');

/** Keeps whoever packs a month where they are. A lock would not do: the function gives up waiting for one after five seconds. */
await database.sql(`
  create table public.held ();
  create function public.hold() returns trigger language plpgsql as $$
    begin
      while exists (select from public.held) loop perform pg_sleep(0.01); end loop;
      return null;
    end $$;
  create trigger hold before insert on private.archived_events for each statement execute function public.hold()`);
const hold = () => database.sql('insert into public.held default values');
const letGo = () => database.sql('delete from public.held');
const underWay = () =>
  database.sql(
    `select from pg_stat_activity where state = 'active' and query like '%archive_month%' and pid <> pg_backend_pid()`,
  );

/** Starts the command, and has it stop in the middle of its month. */
async function startAndHold(t: Test) {
  await hold();
  t.after(letGo);
  const script = startScript(t, 'archive', args, environment);
  await untilTrue(async () => (await underWay()).length > 0);
  return script;
}

async function verifyBoth(t: Test): Promise<void> {
  await server.verifyLedger(t);
  t.strictSame(await database.sql('select name, discrepancies from verify_ledger(true) where not ok'), []);
}

for (const [monthsBack, signal] of [
  [2, 'SIGKILL'],
  [3, 'SIGINT'],
] as const) {
  t.test(
    `a month whose command ends by ${signal} is archived as a whole, and another run says that it waits`,
    async (t) => {
      await fillMonth(monthsBack);
      const before = (await archived()).length;
      const script = await startAndHold(t);
      t.match(await archive(t), { code: 1, stdout: ELSEWHERE }, 'two at once');
      script.signal(signal);
      t.equal((await script.ended).code, null);
      t.match(await archive(t), { code: 1, stdout: ELSEWHERE }, 'Postgres still is at it');
      t.equal((await archived()).length, before);
      await verifyBoth(t);
      await letGo();
      await untilTrue(async () => (await underWay()).length === 0);
      t.equal((await archived()).length, before + 1);
      t.match(await archive(t), { code: 0, stdout: /^No sealed month is left to archive$/m });
      await verifyBoth(t);
    },
  );
}

t.test('a month is as it was where Postgres restarts in between, and the next run archives it', async (t) => {
  await fillMonth(4);
  const before = await archived();
  const { ended } = await startAndHold(t);
  await database.cluster.stop();
  const { code, stderr } = await ended;
  t.equal(code, 1);
  t.equal(stderr.trim().split('\n').length, 1, stderr);
  await database.cluster.restart();
  await letGo();
  t.strictSame(await archived(), before);
  await verifyBoth(t);
  t.match(await archive(t), { code: 0, stdout: /^\d{4}-\d{2}: \d+ events and \d+ rollups are archived$/m });
  await verifyBoth(t);
});

t.end();
