import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { maintain } from '../../../src/jobs/maintenance.js';
import { databaseRegistry, registry } from '../../../src/platform/metrics/registry.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const TOKEN = 'a token of sixteen or more'.replaceAll(' ', '-');
const server = await openTestServer(t);
const device = await server.registerDevice(100);
const scrape = async () => (await server.app.inject({ url: '/metrics' })).payload;

/** Returns the value of a series, 0 where it is not there. */
function readSeries(text: string, series: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? 0);
}

t.test('requests, calls, batches and debits are counted', async (t) => {
  const before = await scrape();
  for (const prompt_count of [1, 1, 1_000]) {
    await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count });
  }
  const after = await scrape();
  const grown = (series: string) => readSeries(after, series) - readSeries(before, series);
  const request = 'tokenledger_http_request_seconds_count{method="POST",route="/usage/log"';
  t.equal(grown(`${request},status="200"}`), 2);
  t.equal(grown(`${request},status="403"}`), 1);
  const item = 'tokenledger_metered_items_total{function="meter_devices",op="debit"';
  t.equal(grown(`${item},outcome="ok"}`), 2);
  t.equal(grown(`${item},outcome="INSUFFICIENT_TOKENS"}`), 1);
  t.equal(grown('tokenledger_metered_tokens_total{function="meter_devices",op="debit"}'), 2);
  t.equal(grown('tokenledger_batch_items_count{function="meter_devices"}'), 3);
  t.equal(grown('tokenledger_batch_wait_seconds_count{function="meter_devices"}'), 3);
  t.equal(grown('tokenledger_database_call_seconds_count{function="meter_devices",outcome="ok"}'), 3);
  t.equal(readSeries(after, 'tokenledger_database_up'), 1);
  await server.verifyLedger(t);
});

t.test('labels are of a few kinds, whatever is asked for', async (t) => {
  const lines = async () => (await scrape()).split('\n').filter((line) => line.startsWith('tokenledger_http')).length;
  await server.app.inject({ url: '/made-up' });
  await server.app.inject({ url: `/api/devices/${device.id}/tokens` });
  const before = await lines();
  for (let count = 0; count < 50; count += 1) {
    await server.app.inject({ url: `/made-up/${count}?q=${count}` });
    await server.app.inject({ url: `/api/devices/${count}/tokens` });
  }
  t.equal(await lines(), before);
  t.notMatch(await scrape(), device.id);
});

t.test('without a token only this machine reads them, and nobody through a proxy', async (t) => {
  t.equal((await server.app.inject({ url: '/metrics', remoteAddress: '::ffff:127.0.0.1' })).statusCode, 200);
  const elsewhere = await server.app.inject({ url: '/metrics', remoteAddress: '203.0.113.5' });
  t.equal(elsewhere.statusCode, 403);
  const added = ['x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'x-client-ip', 'forwarded', 'via', 'cdn-loop'];
  for (const name of [...added, 'true-client-ip', 'fly-client-ip', 'cf-connecting-ip', 'x-envoy-external-address']) {
    t.equal((await server.app.inject({ url: '/metrics', headers: { [name]: '127.0.0.1' } })).statusCode, 403, name);
  }
});

t.test(
  'without a token they are asked for by a name of this machine, as no proxy and no page elsewhere does',
  async (t) => {
    const read = (host: string) => server.app.inject({ url: '/metrics', headers: { host } });
    for (const host of [
      '127.0.0.1:3000',
      '127.8.8.8',
      '[::1]:3000',
      'localhost',
      'LOCALHOST:3000',
      'api.localhost:3000',
    ]) {
      t.equal((await read(host)).statusCode, 200, host);
    }
    // What a proxy that adds nothing passes on, and what a page sends whose name was made to lead here.
    for (const host of [
      'api.example.com',
      'localhost.example.com:3000',
      '203.0.113.5',
      '127.0.0.1.example.com',
      '[::2]:3000',
    ]) {
      t.equal((await read(host)).statusCode, 403, host);
    }
    // As nginx talks to what is behind it, unless told otherwise, with a name of this machine.
    const url = await server.app.listen({ port: 0, host: '127.0.0.1' });
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.end('GET /metrics HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n');
    t.match(await text(socket), /^HTTP\/1\.1 403 /);
  },
);

t.test('with a token whoever has it reads them, from anywhere', async (t) => {
  const guarded = await openTestServer(t, { database: server.database, environment: { METRICS_TOKEN: TOKEN } });
  const read = (authorization?: string) =>
    guarded.app.inject({
      url: '/metrics',
      remoteAddress: '203.0.113.5',
      headers: { ...(authorization !== undefined && { authorization }) },
    });
  t.equal((await read()).statusCode, 401);
  t.equal((await read('Bearer wrong')).statusCode, 401);
  t.equal((await read(`Basic ${TOKEN}`)).statusCode, 401);
  t.equal((await read(`bearer  ${TOKEN}`)).statusCode, 200, 'however the scheme is written');
  const answer = await read(`Bearer ${TOKEN}`);
  t.equal(answer.statusCode, 200);
  t.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/);
});

t.test('queues, holds, pools, maintenance and the proof of the books are shown', async (t) => {
  const other = await openTestServer(t, { database: server.database });
  await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  await server.database.sql("update reservations set expires_at = now() - interval '1 hour'");
  const overdue = await (await openTestServer(t, { database: server.database })).app.inject({ url: '/metrics' });
  t.equal(readSeries(overdue.payload, 'tokenledger_holds{state="overdue"}'), 1);
  await maintain(server.backend.database, {
    usage: { retentionMonths: 12, archiveMonths: undefined },
    monthlyReset: undefined,
  });
  const admin = await logInAsAdmin(server);
  await admin.as('GET', '/api/admin/ledger/verify');
  await admin.as('PUT', '/api/admin/budget', { total: 1_000_000 });
  const { payload } = await other.app.inject({ url: '/metrics' });
  t.equal(readSeries(payload, 'tokenledger_holds{state="open"}'), 0);
  t.equal(readSeries(payload, 'tokenledger_pool_tokens{pool="device",part="total"}'), 1_000_000);
  t.ok(readSeries(payload, 'tokenledger_ledger_check_timestamp_seconds') > 0);
  t.ok(readSeries(payload, 'tokenledger_maintained_total{what="expired_subjects"}') >= 1);
  t.equal(readSeries(payload, 'tokenledger_queue_waiting{queue="mails"}'), 0);
  await server.verifyLedger(t);
});

t.test('every metric that the dashboard and the rules name is there', async (t) => {
  await scrape();
  const all = await Promise.all([registry, databaseRegistry].map((one) => one.getMetricsAsJSON()));
  const known = all.flat().map(({ name }) => name);
  for (const file of ['grafana-dashboard.json', 'prometheus-alerts.yml']) {
    const text = await readFile(join(PROJECT_ROOT, 'scripts/deploy', file), 'utf8');
    const named = [...text.matchAll(/\b(?:tokenledger|nodejs)_[a-z0-9_]+/g)].map(([name]) => name);
    t.ok(named.length > 10, file);
    const missing = named.filter(
      (name) => !known.includes(name) && !known.includes(name.replace(/_(bucket|sum|count)$/, '')),
    );
    t.strictSame([...new Set(missing)], [], file);
  }
  const page = await readFile(join(PROJECT_ROOT, 'docs/operations.md'), 'utf8');
  const documented = [...page.matchAll(/`(tokenledger_[a-z0-9_]+)`/g)].map(([, name]) => name);
  t.strictSame(
    known.filter((name) => name.startsWith('tokenledger_')).sort(),
    documented.sort(),
    'and the page lists all of our own',
  );
});

t.end();
