import pg from 'pg';
import { openDirectApi } from '../../../src/platform/database/direct/direct-api.js';
import { type Answer, openTestDataApiOnCluster, post, type TestDataApi } from '../../helpers/db/data-api.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const data = await openTestDataApiOnCluster(
  t,
  `create function ok() returns text language sql as $$ select 'ok' $$;
   create function backend() returns integer language sql as $$ select pg_backend_pid() $$;
   create function wait_for_lock() returns text language plpgsql as $$
     begin
       perform pg_advisory_xact_lock(7);
       return 'released';
     end $$;
   create function run_on() returns void language sql as $$ select pg_sleep(600) $$;`,
);
const headers = { authorization: `Bearer ${await data.sign({ role: 'service_role' })}` };
const callOn = (api: Pick<TestDataApi, 'fetch'>, name: string): Promise<Answer> => post(api.fetch, name, '{}', headers);

const processes = (condition: string) =>
  data.database.sql<{ pid: number }>(
    `select pid from pg_stat_activity where usename = 'authenticator' and application_name = 'tokenledger' and ${condition}`,
  );

async function terminate(pids: readonly { pid: number }[]): Promise<void> {
  for (const { pid } of pids) await data.database.sql('select pg_terminate_backend($1, 5000)', [pid]);
}

/** Holds the lock that `wait_for_lock` waits for until it is released. */
async function holdLock(): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: data.database.adminUrl });
  await client.connect();
  await client.query('select pg_advisory_lock(7)');
  return () => client.end();
}

t.test('a connection is used again, and one that broke while idle is replaced and reported', async (t) => {
  const errors: Error[] = [];
  const api = data.open({ poolSize: 1, onConnectionError: (error) => errors.push(error) });
  const { body: pid } = await callOn(api, 'backend');
  t.equal((await callOn(api, 'backend')).body, pid);
  await terminate([{ pid: Number(pid) }]);
  await untilTrue(() => errors.length > 0);
  t.match(errors[0]?.message, /terminat/);
  const { status, body } = await callOn(api, 'backend');
  t.equal(status, 200);
  t.not(body, pid);
});

t.test('a connection lost in the middle of a call is an error answer, and the pool recovers', async (t) => {
  const errors: Error[] = [];
  const api = data.open({ poolSize: 2, onConnectionError: (error) => errors.push(error) });
  const running = [callOn(api, 'run_on'), callOn(api, 'run_on')];
  const sleeping = () => processes(`state = 'active' and query like '%run_on%'`);
  await untilTrue(async () => (await sleeping()).length === 2);
  await terminate(await sleeping());
  for (const { status, body } of await Promise.all(running)) {
    t.ok(status === 500 || status === 503, `status ${status}`);
    t.match(body, { code: /^(57P01|PGRST001)$/ });
  }
  t.strictSame(
    (await Promise.all(Array.from({ length: 6 }, () => callOn(api, 'ok')))).map(({ body }) => body),
    Array(6).fill('ok'),
  );
});

t.test('a call that finds no free connection in time is 504 PGRST003, and one that does succeeds', async (t) => {
  const api = data.open({ poolSize: 1, connectionTimeoutMs: 1_500 });
  t.equal((await callOn(api, 'ok')).body, 'ok');
  const release = await holdLock();
  const holder = callOn(api, 'wait_for_lock');
  await untilTrue(async () => (await processes(`wait_event = 'advisory'`)).length === 1);
  t.match(await callOn(api, 'ok'), { status: 504, body: { code: 'PGRST003' } });
  await release();
  t.equal((await holder).body, 'released');
  t.equal((await callOn(api, 'ok')).body, 'ok');
});

t.test('a connection that falls silent is closed: 503, and the next call gets another', async (t) => {
  const api = data.open({ poolSize: 1, statementTimeoutMs: 500 });
  const pid = Number((await callOn(api, 'backend')).body);
  process.kill(pid, 'SIGSTOP');
  try {
    t.match(await callOn(api, 'ok'), { status: 503, body: { code: 'PGRST001' } });
    t.equal((await callOn(api, 'ok')).body, 'ok');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

t.test(
  'a pool serves many more calls at once than it has connections, and opens no more than configured',
  async (t) => {
    const api = data.open({ poolSize: 3 });
    const answers = await Promise.all(Array.from({ length: 60 }, () => callOn(api, 'backend')));
    t.ok(answers.every(({ status }) => status === 200));
    t.equal(new Set(answers.map(({ body }) => body)).size <= 3, true);
  },
);

t.test(
  'a wrong password, a role Postgres lacks and an unused port are 503, never a refusal of the caller',
  async (t) => {
    const url = data.database.serverUrl;
    const wrong = [
      url.replace(/:[^:@/]+@/, ':wrong@'),
      url.replace('//authenticator:', '//nobody:'),
      url.replace(/:\d+\//, ':1/'),
    ];
    for (const connectionString of wrong) {
      const api = openDirectApi({ connectionString, jwtSecret: data.secret });
      t.match(await callOn(api, 'ok'), { status: 503, body: { code: /^PGRST00[02]$/ } });
      await api.close();
    }
  },
);

t.test('while Postgres is stopped calls are 503, and work again when it is back', async (t) => {
  const warm = data.open({ poolSize: 2 });
  const cold = data.open({ poolSize: 2 });
  t.equal((await callOn(warm, 'ok')).body, 'ok');
  await data.database.cluster.stop();
  for (const api of [warm, cold]) {
    for (const { status, body } of await Promise.all([callOn(api, 'ok'), callOn(api, 'ok'), callOn(api, 'ok')])) {
      t.equal(status, 503);
      t.match(body, { code: /^PGRST00[0-2]$/ });
    }
  }
  await data.database.cluster.restart();
  t.equal((await callOn(warm, 'ok')).body, 'ok');
  t.equal((await callOn(cold, 'ok')).body, 'ok');
});

t.test('after it is closed every call is 503, and calls in progress end first', async (t) => {
  const api = openDirectApi({ connectionString: data.database.serverUrl, jwtSecret: data.secret });
  const release = await holdLock();
  const running = callOn(api, 'wait_for_lock');
  await untilTrue(async () => (await processes(`wait_event = 'advisory'`)).length === 1);
  const closed = api.close();
  t.equal((await callOn(api, 'ok')).status, 503);
  await release();
  t.equal((await running).body, 'released');
  await closed;
});

t.end();
