import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import pg from 'pg';
import { digestTable, listTables } from '../../scripts/backup/tables.js';
import { registerUser } from '../helpers/accounts.js';
import { runScript } from '../helpers/http/run-script.js';
import { assertLedger, assertNothingLost, register, startLoad } from '../helpers/http/server-load.js';
import { openTestServer, testEnvironment } from '../helpers/http/test-server.js';
import { createUsage, recordAll } from '../helpers/observed-usage.js';
import t, { type Test } from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

const directory = await mkdtemp(join(tmpdir(), 'tokenledger-backup-'));
t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 10 }));
const server = await openTestServer(t, { environment: { DEFAULT_DEVICE_TOKENS: '100000' } });
const url = await server.listen();
const at = (adminUrl: string) => ({ ...testEnvironment(server.database), DATABASE_URL: adminUrl });
const here = at(server.database.adminUrl);

/** Runs a statement in the cluster's own database. */
async function runOnce(statement: string): Promise<void> {
  const cluster = new URL(server.database.adminUrl);
  cluster.pathname = 'postgres';
  const client = new pg.Client({ connectionString: cluster.href });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}

/** Makes a database without anything in it. */
async function createEmpty(t: Test): Promise<{ adminUrl: string; client: pg.Client }> {
  const name = `empty_${randomUUID().replaceAll('-', '')}`;
  await runOnce(`create database ${name} template template0`);
  const target = new URL(server.database.adminUrl);
  target.pathname = name;
  const client = new pg.Client({ connectionString: target.href });
  client.on('error', () => {});
  await client.connect();
  t.after(async () => {
    await client.end();
    await runOnce(`drop database ${name} with (force)`);
  });
  return { adminUrl: target.href, client };
}

const toSql =
  (client: pg.Client) =>
  async (text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> =>
    (await client.query<Record<string, unknown>>(text, values)).rows;

async function backup(t: Test, ...args: string[]): Promise<{ path: string; sha256: string }> {
  const { code, stdout, stderr } = await runScript(t, 'backup', ['--directory', directory, ...args], here);
  t.equal(code, 0, stderr);
  const [, path = '', sha256 = ''] = /^Wrote \d+ rows to (\S+)\.\nSHA-256 ([0-9a-f]{64})\n/.exec(stdout) ?? [];
  return { path, sha256 };
}

/** What every table of a database holds. */
async function digest(adminUrl: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query(`set search_path = ''; set timezone = 'UTC'`);
    const tables: string[] = [];
    for (const table of await listTables(client)) tables.push(`${table.name} ${await digestTable(client, table)}`);
    return tables;
  } finally {
    await client.end();
  }
}

t.test('a backup made under load restores to a database whose ledger verifies', async (t) => {
  const lastMonths = new Date();
  lastMonths.setUTCMonth(lastMonths.getUTCMonth() - 2, 15);
  await recordAll(t, await registerUser(server), [createUsage({ timestamp: lastMonths.getTime() })]);
  await server.database.sql('select public.keep_seals()');
  const load = startLoad(url, await register(url), 4);
  await until('some uses are recorded', () => (load.acknowledged.size > 20 ? true : undefined));
  const before = new Map(load.acknowledged);
  const { path, sha256 } = await backup(t);
  await load.stop();

  t.equal((await stat(path)).mode & 0o777, 0o600, 'its secrets are for its owner only');
  const { adminUrl, client } = await createEmpty(t);
  const { code, stdout, stderr } = await runScript(t, 'restore', [path, '--sha256', sha256], at(adminUrl));
  t.equal(code, 0, stderr);
  t.match(stdout, /^Restored \d+ rows of .*; the books add up\.\n$/);
  await assertLedger(t, toSql(client));
  await assertNothingLost(t, toSql(client), { ...load, acknowledged: before });
  await server.verifyLedger(t);
});

t.test('nothing of it differs, new rows get ids of their own, and --keep removes older ones', async (t) => {
  const draft = (pid: number) => join(directory, `tokenledger-20200101T000000Z.tar.gz.${pid}.partial`);
  const [killed, running] = [draft(77), draft(78)];
  for (const file of [killed, running]) await writeFile(file, 'half');
  await utimes(killed, 1_600_000_000, 1_600_000_000);
  const { path } = await backup(t, '--keep', '1');
  const kept = [path, running].map((file) => file.split('/').at(-1));
  t.strictSame((await readdir(directory)).sort(), kept.sort(), 'what a killed backup left is gone, too');
  const { adminUrl, client } = await createEmpty(t);
  t.equal((await runScript(t, 'restore', [path], at(adminUrl))).code, 0);
  t.strictSame(await digest(adminUrl), await digest(server.database.adminUrl));
  await client.query(`insert into audit_log (actor, action, target) values ('test', 'test', 'user:1')`);
  await t.rejects(client.query('delete from audit_log'), /append-only/, 'triggers are back');

  const again = await runScript(t, 'restore', [path], at(adminUrl));
  t.equal(again.code, 1);
  t.match(again.stderr, /^The database there is in use \(public\.users has rows\): .*--replace/);
  t.equal((await runScript(t, 'restore', [path, '--replace'], at(adminUrl))).code, 0);
  t.strictSame(await digest(adminUrl), await digest(server.database.adminUrl));
  await assertLedger(t, toSql(client));
});

t.test('a role that owns the database and is no superuser, as on Supabase, can restore', async (t) => {
  const { path } = await backup(t);
  const { adminUrl, client } = await createEmpty(t);
  const owner = new URL(adminUrl);
  owner.username = `owner_${randomUUID().replaceAll('-', '')}`;
  await client.query(`create role ${owner.username} login password '${owner.password}'`);
  t.after(async () => {
    await client.query(`reassign owned by ${owner.username} to postgres; drop owned by ${owner.username}`);
    await client.query(`drop role ${owner.username}`);
  });
  await client.query(`alter database ${owner.pathname.slice(1)} owner to ${owner.username}`);
  const { code, stderr } = await runScript(t, 'restore', [path], at(owner.href));
  t.equal(code, 0, stderr);
  t.strictSame(await digest(adminUrl), await digest(server.database.adminUrl));
  await t.rejects(client.query('truncate audit_log'), /append-only/, 'triggers are back');
  const { rows } = await client.query(
    `select tgname from pg_trigger where tgname like 'by_hand%' and tgenabled <> 'A'`,
  );
  t.strictSame(rows, [], 'those that always fire do so again');
  await assertLedger(t, toSql(client));
});

t.test('an archive that was cut short, damaged or changed is refused before anything is written', async (t) => {
  const { path } = await backup(t);
  const whole = await readFile(path);
  const plain = gunzipSync(whole);
  const replaced = (from: string, to: string) => {
    const copy = Buffer.from(plain);
    copy.write(to, copy.indexOf(from));
    return gzipSync(copy);
  };
  const flipped = Buffer.from(whole);
  flipped.writeUInt8(flipped.readUInt8(flipped.length >> 1) ^ 1, flipped.length >> 1);
  const damaged = {
    empty: Buffer.alloc(0),
    'cut short': whole.subarray(0, whole.length - 100),
    'without its end': gzipSync(plain.subarray(0, plain.indexOf('manifest.json'))),
    'with a flipped bit': flipped,
    'with a changed row': replaced('Test\t', 'Tost\t'),
    'with a part of another name': replaced('data/public.users/', 'data/public.usern/'),
    'with more after it': Buffer.concat([whole, gzipSync('more')]),
    'of something else': Buffer.from('no archive at all'),
  };
  const { adminUrl, client } = await createEmpty(t);
  for (const [name, bytes] of Object.entries(damaged)) {
    const file = join(directory, 'damaged');
    await writeFile(file, bytes);
    const { code, stderr } = await runScript(t, 'restore', [file], at(adminUrl));
    t.equal(code, 1, name);
    t.match(stderr, /^\S.* (damaged|checksums|manifest|changed|cut short).*\n$/, name);
  }
  const other = await runScript(t, 'restore', [path, '--sha256', '0'.repeat(64)], at(adminUrl));
  t.match(other, { code: 1, stderr: /has another SHA-256/ });
  const missing = await runScript(t, 'restore', [join(directory, 'missing')], at(adminUrl));
  t.match(missing, { code: 1, stderr: /cannot be read as a backup: ENOENT\n$/ });
  const { rows } = await client.query(`select to_regnamespace('private') as made`);
  t.strictSame(rows, [{ made: null }], 'nothing was written');
});

t.test('the embedded database and the secret of its tokens come back in a new data directory', async (t) => {
  const { path } = await backup(t);
  const environment = (name: string) => ({ DATA_DIR: join(directory, name) });
  const first = await runScript(t, 'restore', [path], environment('first'));
  t.equal(first.code, 0, first.stderr);
  const saved = await runScript(t, 'backup', ['--directory', join(directory, 'embedded')], environment('first'));
  t.equal(saved.code, 0, saved.stderr);
  const [file = ''] = await readdir(join(directory, 'embedded'));
  const second = await runScript(t, 'restore', [join(directory, 'embedded', file)], environment('second'));
  t.equal(second.code, 0, second.stderr);
  const secrets = async (name: string): Promise<Record<string, string>> =>
    JSON.parse(await readFile(join(directory, name, 'secrets.json'), 'utf8'));
  const [old, restored] = [await secrets('first'), await secrets('second')];
  t.equal(restored['jwt_secret'], old['jwt_secret'], 'tokens stay valid');
  t.not(restored['postgres_password'], old['postgres_password'], 'its Postgres keeps its own password');
});

t.test('a move under load loses nothing acknowledged, and leaves the old database read-only', async (t) => {
  const same = await runScript(t, 'move', ['--to', server.database.adminUrl], here);
  t.match(same, { code: 1, stderr: '--to is the database that is to be moved\n' });
  t.match(await runScript(t, 'move', ['--to', 'nowhere'], here), { code: 2, stderr: /^--to must be/ });
  const { adminUrl, client } = await createEmpty(t);
  const load = startLoad(url, await register(url), 4);
  await until('some uses are recorded', () => (load.acknowledged.size > 20 ? true : undefined));
  const { code, stdout, stderr } = await runScript(t, 'move', ['--to', adminUrl], here);
  await load.stop();

  t.equal(code, 0, stderr);
  t.match(stdout, /^Moved \d+ tables; both sides have the same rows, and the books of both add up\.\n/);
  t.ok(load.refused.length > 0, 'the load ran into the move');
  t.strictSame(
    load.refused.filter(({ status }) => status !== 503).map(({ status, body }) => ({ status, body })),
    [],
  );
  await assertNothingLost(t, toSql(client), load);
  await assertLedger(t, toSql(client));
  t.strictSame(await digest(adminUrl), await digest(server.database.adminUrl));
  await server.verifyLedger(t);
  const late = await runScript(t, 'database/migrate', [], here);
  t.match(late, { code: 1, stderr: /^The database is read-only: it was moved with "npm run move".*\n$/ });
});

t.end();
