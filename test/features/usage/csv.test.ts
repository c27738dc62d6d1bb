import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { parseCsv } from '../../helpers/csv.js';
import { openTestCluster } from '../../helpers/db/test-database.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import { createUsage, recordAll, storeUsage } from '../../helpers/observed-usage.js';
import t, { type Test } from '../../helpers/run/tap.js';

const HEADER =
  'occurred_at,provider,model,source,prompts,input_tokens,output_tokens,total_tokens,cost,provenance,url,user_id,device_id,id,nano_usd';

/** Records many events of one person, a second apart. */
async function storeMany(server: TestServer, user: TestUser, rows: number): Promise<void> {
  await server.database.sql(
    `select private.record_usage_events(array_agg(row(
              gen_random_uuid(), $1::uuid, $1::uuid, null, 'extension', 'claude', 'model, "' || n % 7 || '"', 1, n, 1, n + 1, 0,
              'client_reported', 1, 'https://x.ai/' || n, now() - n * interval '1 second', now(), null
            )::public.usage_events))
       from generate_series(1, $2::integer) n`,
    [user.id, rows],
  );
}

t.test('a file has a header, a line for each event, and quotes what needs quotes', async (t) => {
  const server = await openTestServer(t);
  const user = await registerUser(server);
  const models = ['plain', 'a,b', 'a "quoted" b', 'two\nlines', 'two\r\nlines', '"', ',', 'ümläut ✓', "it's"];
  await recordAll(
    t,
    user,
    models.map((model, n) => createUsage({ model, timestamp: Date.now() - n * 1_000 })),
  );
  const response = await user.as('GET', '/api/usage.csv');
  t.equal(response.statusCode, 200);
  t.match(response.headers, {
    'content-type': 'text/csv; charset=utf-8',
    'content-disposition': 'attachment; filename="usage.csv"',
    'cache-control': 'no-store',
  });
  const [header, ...rows] = parseCsv(response.payload);
  t.equal(header?.join(), HEADER);
  t.strictSame(
    rows.map((row) => row[2]),
    models,
  );
  const { usage } = (await user.as('GET', '/api/usage')).json<{ usage: Record<string, unknown>[] }>();
  const columns = HEADER.split(',');
  t.strictSame(
    rows,
    usage.map((event) => columns.map((column) => String(event[column] ?? ''))),
    'it says what the list says',
  );
  const empty = await user.as('GET', '/api/usage.csv?provider=none');
  t.equal(empty.payload, `${HEADER}\r\n`);
  t.equal(parseCsv((await user.as('GET', '/usage.csv?model=plain')).payload).length, 2, 'filters narrow it');
});

t.test('no cell is a formula to a spreadsheet', async (t) => {
  const server = await openTestServer(t);
  const user = await registerUser(server);
  const formulas = ['=cmd|x', '+1', '-1', '@sum(a1)', '=a,b', '="x"', '\t=1+1', '\r=1+1'];
  const stored = { subject: user.id, user: user.id, source: 'extension', provider: 'claude' };
  await storeUsage(
    server,
    formulas.map((model, n) => ({ ...stored, model, url: model, at: Date.now() - n * 1_000 })),
  );
  const [, ...rows] = parseCsv((await user.as('GET', '/api/usage.csv')).payload);
  t.strictSame(
    rows.map((row) => [row[2], row[10]]),
    formulas.map((formula) => [`'${formula}`, `'${formula}`]),
  );
  const recorded = await user.as('POST', '/api/usage', createUsage({ model: '=1+1', url: '=1+1' }));
  t.equal(recorded.statusCode, 201, 'such names are no error');
});

t.test('nor is a part of one, where a language has spreadsheets begin cells at semicolons or tabs', async (t) => {
  const server = await openTestServer(t);
  const user = await registerUser(server);
  const stored = { subject: user.id, user: user.id, source: 'extension', provider: 'claude' };
  const texts = ['x;=cmd|y;z', 'x;\t @sum(a1)', 'x\n=1', 'x; +1', 'a;b=c', 'https://a.example/;id=1?'];
  await storeUsage(
    server,
    texts.map((model, n) => ({ ...stored, model, at: Date.now() - n * 1_000 })),
  );
  const [, ...rows] = parseCsv((await user.as('GET', '/api/usage.csv')).payload);
  t.strictSame(
    rows.map((row) => row[2]),
    ["x;'=cmd|y;z", "x;'\t' @sum(a1)", "x\n'=1", "x;' +1", 'a;b=c', 'https://a.example/;id=1?'],
  );
});

t.test('20,000 rows are all there, once, newest first; an admin gets the same', async (t) => {
  const server = await openTestServer(t);
  const user = await registerUser(server);
  await storeMany(server, user, 20_000);
  const admin = await logInAsAdmin(server);
  for (const response of [
    await user.as('GET', '/api/usage.csv'),
    await admin.as('GET', `/api/admin/usage.csv?user_id=${user.id}`),
    await admin.as('GET', '/api/admin/usage.csv'),
  ]) {
    const [, ...rows] = parseCsv(response.payload);
    t.equal(rows.length, 20_000);
    t.ok(
      rows.every((row, n) => row[5] === String(n + 1) && row[2] === `model, "${(n + 1) % 7}"` && row[11] === user.id),
      'each in its place',
    );
    t.equal(new Set(rows.map((row) => row[13])).size, 20_000);
  }
  await server.verifyLedger(t);
});

/** Opens a file over real HTTP. */
async function open(server: TestServer, user: TestUser): Promise<IncomingMessage> {
  const url = await server.listen();
  const [response]: IncomingMessage[] = await once(
    get(`${url}/api/usage.csv`, { headers: { authorization: `Bearer ${user.token}` }, agent: false }),
    'response',
  );
  if (response === undefined) throw new Error('there is no answer');
  return response;
}

async function assertCut(t: Test, response: IncomingMessage): Promise<void> {
  t.equal(response.statusCode, 200, 'it began well');
  await t.rejects(text(response), { code: 'ECONNRESET' }, 'the connection is destroyed');
  t.equal(response.complete, false, 'so that the file does not look whole');
}

t.test('where the database goes away in the middle, the connection breaks', async (t) => {
  const database = await openTestCluster(t);
  const server = await openTestServer(t, { database });
  const user = await registerUser(server);
  await storeMany(server, user, 40_000);
  const response = await open(server, user);
  await database.cluster.stop();
  await assertCut(t, response);
});

t.test('where the session ends in the middle, so does the file', async (t) => {
  const server = await openTestServer(t);
  const user = await registerUser(server);
  await storeMany(server, user, 40_000);
  const response = await open(server, user);
  await server.database.sql('delete from private.sessions');
  await assertCut(t, response);
});

t.test('what is wrong from the start is answered as an error, and HEAD reads nothing', async (t) => {
  const database = await openTestCluster(t);
  const server = await openTestServer(t, { database });
  const user = await registerUser(server);
  t.equal((await user.as('GET', '/api/usage.csv?source=unknown')).statusCode, 400);
  t.equal((await user.as('GET', '/api/usage.csv?limit=5')).statusCode, 400);
  const head = await server.app.inject({ method: 'HEAD', url: '/api/usage.csv' });
  t.equal(head.statusCode, 405);
  await database.cluster.stop();
  const outage = await user.as('GET', '/api/usage.csv');
  t.equal(outage.statusCode, 503);
  t.match(outage.json(), { code: 'SERVICE_UNAVAILABLE' });
});

t.end();
