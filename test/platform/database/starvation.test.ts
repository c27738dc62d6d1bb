import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { openProxy } from '../../../scripts/chaos/bad-network.js';
import { HEAVY_HEADER } from '../../../src/platform/database/client/database.js';
import { shareConnections } from '../../../src/platform/database/direct/lanes.js';
import { openTestDataApiOnCluster, post } from '../../helpers/db/data-api.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const data = await openTestDataApiOnCluster(
  t,
  `create function public.wait_for_lock() returns text language plpgsql as $$
     begin
       perform pg_advisory_xact_lock(7);
       return 'released';
     end $$;
   create function public.ok() returns text language sql as $$ select 'ok' $$;
   create function public.backend() returns integer language sql as $$ select pg_backend_pid() $$;`,
);
const headers = { authorization: `Bearer ${await data.sign({ role: 'service_role' })}` };
const forOne = (party: string) => ({ ...headers, [HEAVY_HEADER]: party });
const meter = { p_items: [] };

/** Holds the lock `wait_for_lock` waits for; the returned function releases it. */
async function holdLock(t: Test): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: data.database.adminUrl });
  await client.connect();
  await client.query('select pg_advisory_lock(7)');
  t.after(() => client.end());
  return async () => {
    await client.query('select pg_advisory_unlock(7)');
  };
}
/** Whether a pulse has asked since a moment. */
const ASKED = `select from pg_stat_activity where application_name = 'tokenledger pulse' and query_start > $1 and query like '%state_change%'`;
const countWaiting = async () => {
  const [row] = await data.database.sql<{ waiting: number }>(
    `select count(*)::integer as waiting from pg_stat_activity where wait_event = 'advisory'`,
  );
  return row?.waiting ?? 0;
};

t.test('the connections of a process are shared out, metering’s to nobody else', async (t) => {
  for (const total of [1, 2, 3, 4, 5, 8, 12, 15, 40]) {
    const shares = Object.values(shareConnections(total));
    t.equal(
      shares.reduce<number>((sum, share) => sum + (typeof share === 'number' ? share : 0), 0),
      total,
    );
    t.notOk(shares.includes(0));
    if (total > 1) t.notOk(shares.includes('metering'));
  }
});

t.test('however much heavy work and other calls there are, uses and readiness are answered', async (t) => {
  const api = data.open({ shares: shareConnections(12), statementTimeoutMs: 60_000 });
  const release = await holdLock(t);
  const heavy = Array.from({ length: 8 }, () => post(api.fetch, 'wait_for_lock', '{}', forOne('one')));
  const others = Array.from({ length: 3 }, () => post(api.fetch, 'wait_for_lock', '{}', headers));
  await untilTrue(async () => (await countWaiting()) === 5);
  t.strictSame((await post(api.fetch, 'meter_devices', JSON.stringify(meter), headers)).body, []);
  t.equal((await post(api.fetch, 'applied_migrations', '{}', headers)).status, 200);
  await release();
  for (const { body } of await Promise.all([...heavy, ...others])) t.equal(body, 'released');
});

t.test('after a pause the session of uses is still there, and others are given back', async (t) => {
  const api = data.open({ shares: shareConnections(12) });
  const sessions = async (name: string) => {
    const text = `application_name = 'tokenledger' and query like '%"${name}"(%' and query not like '%pg_stat_activity%'`;
    const rows = await data.database.sql<{ pid: number }>(`select pid from pg_stat_activity where ${text}`);
    return rows.map(({ pid }) => pid);
  };
  const earlier = await sessions('meter_devices');
  await post(api.fetch, 'meter_devices', JSON.stringify(meter), headers);
  const [kept] = (await sessions('meter_devices')).filter((pid) => !earlier.includes(pid));
  const other = Number((await post(api.fetch, 'backend', '{}', headers)).body);
  t.not(kept, undefined);
  await untilTrue(async () => !(await sessions('backend')).includes(other));
  t.ok((await sessions('meter_devices')).some((pid) => pid === kept));
});

t.test('who sends too much heavy work is told so, and the next one waits for a turn only', async (t) => {
  const api = data.open({ shares: shareConnections(12), statementTimeoutMs: 60_000 });
  const release = await holdLock(t);
  const own = Array.from({ length: 40 }, () => post(api.fetch, 'wait_for_lock', '{}', forOne('greedy')));
  const refused = await Promise.any(own);
  t.match(refused, { status: 429, body: { code: 'PT429', message: 'RATE_LIMITED', details: '{"retry_after":2}' } });
  const order: string[] = [];
  const other = post(api.fetch, 'ok', '{}', forOne('modest')).then(() => order.push('modest'));
  const last = Promise.all(own).then(() => order.push('greedy'));
  await release();
  await Promise.all([other, last]);
  t.strictSame(order, ['modest', 'greedy']);
});

t.test('more calls than can be served in time are refused at once', async (t) => {
  const api = data.open({ poolSize: 1, connectionTimeoutMs: 60_000, statementTimeoutMs: 60_000 });
  t.equal((await post(api.fetch, 'ok', '{}', headers)).status, 200);
  const release = await holdLock(t);
  const calls = Array.from({ length: 250 }, () => post(api.fetch, 'wait_for_lock', '{}', headers));
  t.match(await Promise.any(calls), { status: 504, body: { code: 'PGRST003' } });
  await release();
  const statuses = (await Promise.all(calls)).map(({ status }) => status);
  t.ok(statuses.filter((status) => status === 200).length >= 200, 'those that waited are served');
});

t.test('a session that is stopped is found long before its time is over, and others go on', async (t) => {
  const api = data.open({ poolSize: 2, statementTimeoutMs: 600_000 });
  const pid = Number((await post(api.fetch, 'backend', '{}', headers)).body);
  process.kill(pid, 'SIGSTOP');
  try {
    t.match(await post(api.fetch, 'ok', '{}', headers), { status: 503, body: { code: 'PGRST001' } });
    t.equal((await post(api.fetch, 'ok', '{}', headers)).body, 'ok');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

t.test('a call that only takes long is left alone', async (t) => {
  const api = data.open({ poolSize: 2, statementTimeoutMs: 600_000 });
  const release = await holdLock(t);
  const call = post(api.fetch, 'wait_for_lock', '{}', headers);
  const [began] = await data.database.sql<{ at: Date }>('select clock_timestamp() as at');
  await untilTrue(async () => (await data.database.sql(ASKED, [began?.at])).length > 0);
  await release();
  t.equal((await call).body, 'released');
});

t.test('a Postgres that is far away, or slow to let anybody in, is not taken for frozen', async (t) => {
  const network = await openProxy(() => data.database.cluster.port);
  t.after(() => network.close());
  const far = new URL(data.database.serverUrl);
  far.port = String(network.port);
  const api = data.open({ connectionString: far.href, poolSize: 2, statementTimeoutMs: 600_000 });
  t.equal((await post(api.fetch, 'ok', '{}', headers)).body, 'ok');
  const release = await holdLock(t);
  network.setDelay(250);
  const call = post(api.fetch, 'wait_for_lock', '{}', headers);
  const [began] = await data.database.sql<{ at: Date }>('select clock_timestamp() as at');
  const hasAsked = async () => (await data.database.sql(ASKED, [began?.at])).length > 0;
  await Promise.race([untilTrue(hasAsked), call]);
  await release();
  t.equal((await call).body, 'released');
});

t.test(
  'a Postgres that is frozen altogether is found, also by those that come later, and seen to be back',
  async (t) => {
    const api = data.open({ poolSize: 2, statementTimeoutMs: 600_000, connectionTimeoutMs: 600_000 });
    t.equal((await post(api.fetch, 'ok', '{}', headers)).status, 200);
    const postmaster = Number(
      (await readFile(join(data.database.cluster.directory, 'postmaster.pid'), 'utf8')).split('\n')[0],
    );
    const sessions = await data.database.sql<{ pid: number }>('select pid from pg_stat_activity');
    const pids = [postmaster, ...sessions.map(({ pid }) => pid)];
    const signal = (name: NodeJS.Signals) => {
      for (const pid of pids) {
        try {
          process.kill(pid, name);
        } catch {
          // The session that was asked may be gone.
        }
      }
    };
    signal('SIGSTOP');
    try {
      const calls = await Promise.all(Array.from({ length: 5 }, () => post(api.fetch, 'ok', '{}', headers)));
      for (const answer of calls) t.match(answer, { status: 503, body: { code: 'PGRST001' } });
      t.match(await post(api.fetch, 'ok', '{}', headers), { status: 503, body: { code: 'PGRST001' } });
    } finally {
      signal('SIGCONT');
    }
    await untilTrue(async () => (await post(api.fetch, 'ok', '{}', headers)).status === 200);
  },
);

t.end();
