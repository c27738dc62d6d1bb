import { randomBytes } from 'node:crypto';
import { createSecretWatch } from '../../../src/auth/tokens/secret-watch.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { send } from '../../helpers/http/server-load.js';
import { openDirectory, startServer } from '../../helpers/http/server-process.js';
import { openTestServer, testEnvironment } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { until, untilTrue } from '../../helpers/until.js';

const createSecret = () => randomBytes(32).toString('base64url');

t.test('servers are told apart by the secrets they sign with and know', async (t) => {
  const { backend, database } = await openTestServer(t);
  const [old, replaced] = [createSecret(), createSecret()];
  const said: string[] = [];
  const log = { info: (line: string) => said.push(line), warn: (line: string) => said.push(line) };
  const start = (...secrets: readonly string[]) => createSecretWatch(backend.database, secrets, log);
  const forget = () => database.sql(`update private.server_secrets set seen_at = now() - interval '4 minutes'`);
  const isAlone = async (...secrets: readonly string[]) => {
    const watch = start(...secrets);
    await watch.look();
    return watch.findProblem() === undefined;
  };

  t.test('those with the same one are well', async (t) => {
    t.ok(await isAlone(old));
    t.ok(await isAlone(old));
    t.strictSame(said, []);
  });

  t.test('those with another are told, each once, until the other is gone', async (t) => {
    const [first, second] = [start(old), start(replaced)];
    await second.look();
    await second.look();
    await first.look();
    for (const watch of [first, second])
      t.match(watch.findProblem(), /^JWT_SECRET differs from that of another server/);
    t.equal(said.length, 2, 'each said it once');
    await forget();
    await second.look();
    t.equal(second.findProblem(), undefined);
    t.match(said.at(-1), /the same at all servers/);
    t.notOk(said.some((line) => line.includes(old) || line.includes(replaced)));
  });

  t.test('a rotation by lists, one server after the other, is never told', async (t) => {
    await forget();
    for (const list of [[old], [old, replaced], [replaced, old]]) {
      t.ok(await isAlone(...list), 'the first server that has it');
      await forget();
      t.ok(await isAlone(...list), 'the others');
    }
    t.ok(await isAlone(old, replaced), 'before all are restarted');
    t.notOk(await isAlone(old), 'one that was forgotten');
  });

  t.test('the database has neither a secret nor what was written down an hour ago', async (t) => {
    await database.sql(`update private.server_secrets set seen_at = now() - interval '61 minutes'`);
    await start(old).look();
    const rows = await database.sql<{ fingerprints: string[] }>('select fingerprints from private.server_secrets');
    t.equal(rows.length, 1);
    for (const fingerprint of rows[0]?.fingerprints ?? []) t.match(fingerprint, /^[0-9a-f]{64}$/);
    t.notOk(JSON.stringify(rows).includes(old));
  });
});

t.test('a server that starts beside one with another secret says so in its log and at /readyz', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestDatabase(t);
  const start = async () => {
    const environment = testEnvironment(database, { JWT_SECRET: createSecret(), LOG_LEVEL: 'warn' });
    const server = startServer(t, { cwd, environment });
    return { server, url: await server.ready() };
  };
  const first = await start();
  await untilTrue(async () => (await database.sql('select from private.server_secrets')).length === 1);
  t.notMatch((await send(first.url, '/readyz'))?.body, { notice: /JWT_SECRET/ });
  const second = await start();
  const notice = await until('it is noticed', async () => (await send(second.url, '/readyz'))?.body['notice']);
  t.match(notice, /^JWT_SECRET differs/);
  const warned = () =>
    second.server
      .stdout()
      .split('\n')
      .filter((line) => line.includes('JWT_SECRET differs'));
  await untilTrue(() => warned().length > 0);
  t.equal(warned().length, 1);
  t.match(JSON.parse(warned()[0] ?? ''), { level: 40 });
});

t.end();
