import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { runScript } from '../helpers/http/run-script.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';

const TRACE = join(PROJECT_ROOT, '../shared/data/azure-llm-code-trace-2023.csv');
const ROWS = 8_819;

const server = await openTestServer(t, { environment: { DEFAULT_DEVICE_TOKENS: '1000000' } });
const url = await server.listen();

async function countEvents(run: string): Promise<number> {
  const rows = await server.database.sql(
    `select e.id from usage_events e join devices d on d.id = e.device_id where d.name like 'replay-' || $1 || '-%'`,
    [run],
  );
  return rows.length;
}

/** A file of so many rows. */
function writeTrace(t: Test, rows: number): string {
  const lines = Array.from({ length: rows }, (_, n) => `${n},10\n`);
  return join(t.testdir({ 'trace.csv': `at,tokens\n${lines.join('')}` }), 'trace.csv');
}

/** The same database behind a server that is configured otherwise. */
async function listenWith(t: Test, environment: Record<string, string>): Promise<string> {
  const other = await openTestServer(t, { database: server.database, environment });
  return other.listen();
}

t.test(
  'an hour of real requests by 40 devices ends in exactly as many events, also when it is sent twice',
  { skip: existsSync(TRACE) ? false : 'the trace ../shared/data/azure-llm-code-trace-2023.csv is not there' },
  async (t) => {
    const run = randomUUID();
    const args = ['--url', url, '--file', TRACE, '--devices', '40', '--concurrency', '64', '--run', run];
    const total = 'select count(*)::integer as events, sum(cost)::integer as cost from usage_events';

    const first = await runScript(t, 'replay/main', args);
    t.equal(first.code, 0, first.stderr);
    t.match(first.stdout, /^recorded +8,819$/m);
    t.match(first.stdout, /^refused +0$/m);
    t.match(first.stdout, /^rate +[\d,]+ requests\/s$/m);
    t.comment(first.stdout);
    t.strictSame(await server.database.sql(total), [{ events: ROWS, cost: ROWS }]);
    await server.verifyLedger(t);

    const second = await runScript(t, 'replay/main', args);
    t.equal(second.code, 0, second.stderr);
    t.match(second.stdout, /^recorded +8,819$/m, 'every prompt is answered again');
    t.strictSame(await server.database.sql(total), [{ events: ROWS, cost: ROWS }], 'and nothing is added');

    const used = await server.database.sql<{ used: number; devices: number }>(
      'select used::integer, count(*)::integer as devices from balances group by used order by used',
    );
    t.strictSame(
      used,
      [
        { used: 220, devices: 21 },
        { used: 221, devices: 19 },
      ],
      'the prompts are spread evenly',
    );
    await server.verifyLedger(t);
  },
);

t.test('a run without an id is a run of its own', async (t) => {
  const args = ['--url', `${url}/api/`, '--file', writeTrace(t, 6), '--devices', '2', '--model', 'claude-opus-4.5'];
  const runs: string[] = [];
  for (let n = 0; n < 2; n += 1) {
    const { code, stdout, stderr } = await runScript(t, 'replay/main', args);
    t.equal(code, 0, stderr);
    runs.push(/^Run (\S+):/.exec(stdout)?.[1] ?? '');
  }
  const [first = '', second = ''] = runs;
  t.not(first, second);
  t.equal(await countEvents(first), 6);
  t.equal(await countEvents(second), 6);
  const costs = await server.database.sql(`select distinct cost::integer from usage_events where model = $1`, [
    'claude-opus-4.5',
  ]);
  t.strictSame(costs, [{ cost: 3 }], 'the model is the one asked for');
  await server.verifyLedger(t);
});

t.test('one row is one prompt, whatever its quotes hold', async (t) => {
  const text = '\uFEFFprompt,tokens\r\n"two\r\nlines, and ""quotes""",1\r\n\r\nplain,2\r\nlast,3';
  const file = join(t.testdir({ 'quoted.csv': text }), 'quoted.csv');
  const run = randomUUID();
  const all = await runScript(t, 'replay/main', ['--url', url, '--file', file, '--run', run]);
  t.equal(all.code, 0, all.stderr);
  t.equal(await countEvents(run), 3);

  const limited = randomUUID();
  const some = await runScript(t, 'replay/main', ['--url', url, '--file', file, '--limit', '2', '--run', limited]);
  t.equal(some.code, 0, some.stderr);
  t.equal(await countEvents(limited), 2, '--limit takes the first rows');
  await server.verifyLedger(t);
});

t.test('refused prompts are counted by their code and are no failure', async (t) => {
  const poor = await listenWith(t, { DEFAULT_DEVICE_TOKENS: '5' });
  const run = randomUUID();
  const result = await runScript(t, 'replay/main', [
    ...['--url', poor, '--file', writeTrace(t, 14), '--devices', '2', '--run', run],
  ]);
  t.equal(result.code, 0, result.stderr);
  t.match(result.stdout, /^recorded +10$/m);
  t.match(result.stdout, /^refused +4, INSUFFICIENT_TOKENS 4$/m);
  t.equal(await countEvents(run), 10);
  await server.verifyLedger(t);
});

t.test('a server that lets no device in ends the run with one line', async (t) => {
  const closed = await listenWith(t, { DEVICE_ENROLLMENT: 'key', ENROLLMENT_KEY: 'only-for-friends' });
  const result = await runScript(t, 'replay/main', ['--url', closed, '--file', writeTrace(t, 3)]);
  t.equal(result.code, 1);
  t.match(result.stderr, /^\S+\/api does not register devices \(ENROLLMENT_KEY_INVALID\)\n$/);
  await server.verifyLedger(t);
});

// The server still listens: only an end that is named closes it.
t.end();
