import { connect, type Socket } from 'node:net';
import pg from 'pg';
import { logInAsAdmin } from '../helpers/admin.js';
import { openTestCluster } from '../helpers/db/test-database.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';
import { untilTrue } from '../helpers/until.js';

const database = await openTestCluster(t);
const server = await openTestServer(t, { database });
const device = await server.registerDevice(1_000);
const use = (event_id: string) => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', event_id });
const isReady = async () => (await server.app.inject('/readyz')).statusCode === 200;
const set = async (setting: string) => {
  await database.sql(`alter system ${setting}`);
  await database.sql('select pg_reload_conf()');
};

async function assertUnavailable(t: Test, answer: Awaited<ReturnType<typeof use>>): Promise<void> {
  t.match(answer.json(), { code: 'SERVICE_UNAVAILABLE' });
  t.equal(answer.statusCode, 503);
  t.match(answer.headers['retry-after'], /^\d+$/);
  t.equal((await server.app.inject('/healthz')).statusCode, 200);
}

const states = [
  {
    name: 'is read-only',
    begin: () => set('set default_transaction_read_only = on'),
    end: () => set('reset default_transaction_read_only'),
    isSeen: true,
  },
  {
    name: 'has a full disk',
    begin: async () => {
      await database.sql(
        `create function public.full() returns trigger language plpgsql as $$ begin raise sqlstate '53100' using message = 'No space left on device'; end $$`,
      );
      await database.sql(
        'create trigger full_disk before insert on usage_events for each row execute function public.full()',
      );
    },
    end: () => database.sql('drop function public.full cascade'),
    isSeen: true,
  },
  {
    name: 'lacks a function for a moment',
    begin: () => database.sql('alter function meter_devices(jsonb) rename to meter_devices_away'),
    end: () => database.sql('alter function meter_devices_away(jsonb) rename to meter_devices'),
    isSeen: false,
  },
  {
    name: 'lacks a function that another calls',
    begin: () => database.sql('alter function private.record_usage_events(usage_events[]) rename to away'),
    end: () => database.sql('alter function private.away(usage_events[]) rename to record_usage_events'),
    isSeen: false,
  },
  {
    name: 'lacks a table',
    begin: () => database.sql('alter table public.usage_totals rename to away'),
    end: () => database.sql('alter table public.away rename to usage_totals'),
    isSeen: false,
  },
  {
    name: 'lacks a column',
    begin: () => database.sql('alter table public.usage_events rename prompt_count to away'),
    end: () => database.sql('alter table public.usage_events rename away to prompt_count'),
    isSeen: false,
  },
  {
    name: 'has no connections left',
    begin: async () => {
      await database.sql('alter role authenticator connection limit 0');
      await database.sql(
        `select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'authenticator'`,
      );
    },
    end: () => database.sql('alter role authenticator connection limit -1'),
    isSeen: true,
  },
];
for (const { name, begin, end, isSeen } of states) {
  t.test(`while the database ${name}, uses are 503 with Retry-After, and counted once when sent again`, async (t) => {
    t.equal((await use(`before: ${name}`)).statusCode, 200);
    await begin();
    try {
      await untilTrue(async () => (await use(name)).statusCode === 503);
      await assertUnavailable(t, await use(name));
      if (isSeen) t.notOk(await isReady(), 'and readiness tells');
    } finally {
      await end();
    }
    await untilTrue(async () => (await use(name)).statusCode === 200);
    const events = await database.sql<{ count: string }>(
      'select count(*) from private.device_keys where key = private.device_key($1, $2)',
      [device.id, name],
    );
    t.equal(events[0]?.count, '1');
  });
}

t.test('a lock that is not given in time is 503, too', async (t) => {
  const holder = new pg.Client({ connectionString: database.adminUrl });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from balances where subject_id = $1 for update', [device.id]);
  const setForRole = async (setting: string) => {
    await database.sql(`alter role authenticator ${setting}`);
    await database.sql(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'authenticator'`);
  };
  await setForRole(`set lock_timeout = '50ms'`);
  try {
    await assertUnavailable(t, await use('locked'));
  } finally {
    await holder.end();
    await setForRole('reset lock_timeout');
  }
  await untilTrue(async () => (await use('locked')).statusCode === 200);
});

t.test('a use whose sender has left before it was sent is not charged', async (t) => {
  const url = new URL(await server.listen());
  const holder = new pg.Client({ connectionString: database.adminUrl });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from balances where subject_id = $1 for update', [device.id]);
  const first = use('first');
  await untilTrue(async () => {
    const waiting = await database.sql(`select from pg_stat_activity where wait_event_type = 'Lock'`);
    return waiting.length > 0;
  });
  const body = JSON.stringify({ model_type: 'gpt-5', event_id: 'left' });
  const sockets: Socket[] = Array.from({ length: 5 }, () => {
    const socket = connect(Number(url.port), url.hostname);
    socket.write(
      `POST /api/usage/log HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${device.token}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    return socket;
  });
  // What was sent on a connection of its own afterwards is there, and so is what came before it.
  t.match(await (await fetch(`${url.origin}/healthz`)).text(), /ok/);
  for (const socket of sockets) socket.destroy();
  const connections = () =>
    new Promise<number>((resolve) => {
      server.app.server.getConnections((_error, count) => resolve(count));
    });
  await untilTrue(async () => (await connections()) <= 1);
  await holder.end();
  t.equal((await first).statusCode, 200);
  t.equal((await use('after')).statusCode, 200);
  const keys = await database.sql<{ key: string }>(
    `select sent.key from unnest(array['first', 'left', 'after']) as sent(key)
       join private.device_keys k on k.key = private.device_key($1, sent.key) order by sent.key`,
    [device.id],
  );
  t.strictSame(
    keys.map(({ key }) => key),
    ['after', 'first'],
  );
});

t.test('the proof of the books is made once for an admin who asks for it again and again', async (t) => {
  // Readiness remembers for some seconds that the disk was full.
  await untilTrue(isReady);
  const admin = await logInAsAdmin(server);
  const holder = new pg.Client({ connectionString: database.adminUrl });
  await holder.connect();
  await holder.query('begin');
  await holder.query('lock table balances in access exclusive mode');
  const proofs = Array.from({ length: 5 }, () => admin.as('GET', '/api/admin/ledger/verify'));
  for (const proof of proofs) proof.then(() => {}, t.fail);
  const running = () =>
    database.sql(`select from pg_stat_activity where wait_event_type = 'Lock' and query like '%verify_ledger_as%'`);
  await untilTrue(async () => (await running()).length > 0);
  t.equal((await running()).length, 1);
  t.equal((await server.app.inject('/readyz')).statusCode, 200, 'and readiness does not wait for it');
  await holder.end();
  for (const proof of await Promise.all(proofs)) t.equal(proof.statusCode, 200);
});

t.test('and the books add up', async (t) => {
  await server.verifyLedger(t);
});

t.end();
