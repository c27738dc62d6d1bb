import pg from 'pg';
import { openDirect } from '../../../src/platform/database/backend.js';
import { requireSchema } from '../../../src/platform/health/readiness.js';
import { waitForDatabase } from '../../../src/platform/health/wait-for-database.js';
import { openTestDataApiOnCluster, post } from '../../helpers/db/data-api.js';
import { openPgBouncer } from '../../helpers/db/pgbouncer.js';
import { openRefusingPooler, SAYINGS } from '../../helpers/db/refusing-pooler.js';
import { openWire } from '../../helpers/db/wire.js';
import { createDeferred } from '../../helpers/deferred.js';
import { keepLines } from '../../helpers/http/log-lines.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { isMissing } from '../../helpers/local-program.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

const data = await openTestDataApiOnCluster(
  t,
  `create function who() returns text language sql volatile as $$ select current_setting('request.jwt.claims') $$;
   create function look() returns text language sql stable as $$ select current_user::text $$;
   create function refuse() returns void language plpgsql volatile as $$ begin raise 'no'; end $$;
   create function act() returns integer language sql volatile security definer set search_path = '' as $$ select 1 $$;
   create function wait_for_lock() returns text language plpgsql as $$
     begin
       perform pg_advisory_xact_lock(7);
       return 'released';
     end $$;`,
);
const { database } = data;
const server = { authorization: `Bearer ${await data.sign({ role: 'service_role' })}` };
const person = { authorization: `Bearer ${await data.sign({ role: 'authenticated', sub: 'somebody' })}` };
const skip = isMissing('pgbouncer', '--version');

/** Holds the lock that `wait_for_lock` waits for until it is released. */
async function holdLock(t: Test): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: database.adminUrl });
  await client.connect();
  await client.query('select pg_advisory_lock(7)');
  let isOpen = true;
  const release = async () => {
    if (isOpen) await client.end();
    isOpen = false;
  };
  t.after(release);
  return release;
}

t.test(
  'through a pooler no text has more than one statement, and none sets anything but for its transaction',
  async (t) => {
    const wire = await openWire(t, database.serverUrl);
    const api = data.open({ connectionString: wire.url, poolSize: 2 });
    const calls = async () => {
      for (const headers of [server, person]) {
        for (const name of ['who', 'look', 'refuse', 'act']) await post(api.fetch, name, '{}', headers);
      }
    };
    const sent = [...(await wire.record(calls)), ...(await wire.record(calls))];
    const texts = (type: string) =>
      new Set(sent.filter((message) => message.type === type).map(({ text }) => text.trim()));
    for (const text of [...texts('Q'), ...texts('P')]) {
      t.notMatch(text, /;./s, 'one statement');
      t.match(text, /^(?:begin$|commit$|rollback$|with\b|select\b)/, 'and none that sets what stays');
    }
    const settings = [...texts('P')].filter((text) => /\bset_config\(\S+ \$\d, true\)/.test(text));
    t.equal(
      settings.length,
      2,
      'role, claims and time-out are set in one statement, for volatile functions and others',
    );
  },
);

const LASTING: readonly string[] = ['POOLER_LOGIN', 'POOLER_UNKNOWN'];

t.test('what a pooler says is known by its text, and a server waits for what passes', async (t) => {
  const pooler = await openRefusingPooler(t);
  const api = data.open({ connectionString: pooler.url, poolSize: 1 });
  const log = { warn: () => {} };
  const direct = await openDirect(pooler.url, log, 1);
  t.after(direct.close);
  for (const [code, message, hint] of SAYINGS) {
    pooler.say({ code, message });
    const { status, body } = await post(api.fetch, 'who', '{}', server);
    t.match({ status, body }, { status: 503, body: { code: /^PGRST00/, message: /^the pooler\b/, hint } }, message);
    await t.rejects(
      requireSchema(direct.database),
      new RegExp(`^The pooler before the database .*\\(${hint}: the pooler`),
    );

    const [warned, stopping] = [createDeferred(), createDeferred()];
    let warning: string | undefined;
    const warn = (_details: object, text: string) => {
      warning = text;
      warned.resolve();
    };
    const waiting = waitForDatabase(direct.database, { warn }, stopping.promise);
    await Promise.race([waiting, warned.promise]);
    const isWaitedFor = 'the pooler before the database does not serve; trying again in 1 s';
    t.equal(warning, LASTING.includes(hint) ? undefined : isWaitedFor);
    stopping.resolve();
    await waiting;
  }
  pooler.say({ code: '42601', message: 'only one statement at a time' });
  await t.rejects(
    requireSchema(direct.database),
    /^The database, or a pooler before it, takes a statement .*42601: only one/,
  );
  pooler.say({ code: '28000', message: 'no pg_hba.conf entry for host "127.0.0.1", no encryption' });
  await t.rejects(requireSchema(direct.database), /cannot be reached; check .*28000: this user may not connect/);
  pooler.say({ code: '57P03', message: 'the database system is shutting down' });
  await t.rejects(
    requireSchema(direct.database),
    /cannot be reached; check .*57P03: the database is starting or stopping/,
  );
});

/** Opens a server behind PgBouncer, whose log can be read. */
async function openBehind(t: Test, url: string) {
  const { lines, destination } = keepLines();
  const environment = { LOG_LEVEL: 'error', DATABASE_POOL_SIZE: '4' };
  const opened = await openTestServer(t, { database: { ...database, serverUrl: url }, environment, log: destination });
  const device = await opened.registerDevice(1_000);
  const use = () => opened.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  /** Asserts that a use is refused for a while, and that the log says why. */
  const assertRefused = async (test: Test, hint: string) => {
    lines.length = 0;
    await until(`a use is refused: ${hint}`, async () => {
      const answer = await use();
      if (answer.statusCode === 200) return undefined;
      test.equal(answer.statusCode, 503, answer.payload);
      test.match(answer.headers['retry-after'], /^\d+$/);
      return (
        lines.some((line) => line.includes(`"hint":"${hint}"`) && line.includes('"message":"the pooler ')) || undefined
      );
    });
    test.notMatch(lines.join(), /cannot be reached|"status":500/);
  };
  return { use, assertRefused, verifyLedger: opened.verifyLedger };
}

t.test('a PgBouncer that cannot serve is a 503, and the log says what it is', { skip }, async (t) => {
  const url = await openPgBouncer(t, database.serverUrl, 'transaction', 1, { query_wait_timeout: 1 });
  const { use, assertRefused, verifyLedger } = await openBehind(t, url);
  t.equal((await use()).statusCode, 200);

  await t.test('while its one session is at work', async (t) => {
    const holder = data.open({ connectionString: url, poolSize: 1 });
    const release = await holdLock(t);
    const held = post(holder.fetch, 'wait_for_lock', '{}', server);
    await until('the session waits', async () => {
      const [row] = await database.sql(`select from pg_stat_activity where wait_event = 'advisory'`);
      return row;
    });
    await assertRefused(t, 'POOLER_BUSY');
    await release();
    await held;
    await until('uses are recorded again', async () => ((await use()).statusCode === 200 ? true : undefined));
  });

  await t.test('while Postgres is away', async (t) => {
    await database.cluster.stop();
    await assertRefused(t, 'POOLER_CUT_OFF');
    await database.cluster.restart();
    await until('uses are recorded again', async () => ((await use()).statusCode === 200 ? true : undefined));
  });
  await verifyLedger(t);
});

t.test('a PgBouncer that takes no more clients is a 503, and the log says so', { skip }, async (t) => {
  const url = await openPgBouncer(t, database.serverUrl, 'transaction', 2, { max_client_conn: 1 });
  const api = data.open({ connectionString: url, poolSize: 2 });
  const answers = await Promise.all([post(api.fetch, 'who', '{}', server), post(api.fetch, 'who', '{}', server)]);
  const refused = await until('one has no connection', async () =>
    [...answers, ...(await Promise.all(Array.from({ length: 4 }, () => post(api.fetch, 'who', '{}', server))))].find(
      ({ status }) => status !== 200,
    ),
  );
  t.match(refused, { status: 503, body: { hint: 'POOLER_FULL' } });
});

t.end();
