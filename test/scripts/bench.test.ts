import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findWorse } from '../../scripts/bench/report/compare.js';
import type { CaseResult } from '../../scripts/bench/report/result.js';
import { runScript } from '../helpers/http/run-script.js';
import t from '../helpers/run/tap.js';

const TINY = ['--rounds', '1', '--seconds', '0.05', '--connections', '1'];

t.test('a case is measured against all it is compared with, told in a table and kept as JSON', async (t) => {
  const json = join(t.testdir(), 'bench.json');
  const { code, stdout, stderr } = await runScript(
    t,
    'bench/main',
    ['--cases', 'debit', ...TINY, '--json', json],
    // A machine that runs many tests at once is late with everything.
    { MAX_EVENT_LOOP_DELAY: '0' },
  );
  t.equal(code, 0, stderr);
  t.match(stderr, /debit, round 1 of 1: naive ×1/, 'it tells how far it is');
  t.match(
    stdout,
    /\ndebit: POST \/usage\/log.*\n.*per s +p50 ms +p99 ms.*÷ no database +÷ direct +÷ bare route +÷ floor +÷ naive\n/,
  );
  t.match(stdout, /books that add up/);

  const result: { cases: CaseResult[] } = JSON.parse(await readFile(json, 'utf8'));
  const [debit] = result.cases;
  const rows = debit?.rows ?? [];
  const references = ['no database', 'direct', 'bare route', 'floor', 'naive'];
  t.strictSame(new Set(rows.map(({ name }) => name)), new Set(['debit', ...references]));
  for (const { name, figures } of rows) t.ok((figures['rate']?.median ?? 0) > 0, `${name} answered`);
  t.strictSame(Object.keys(rows[0]?.ratios ?? {}), references);
  t.equal(
    rows[0]?.figures['node'] !== undefined,
    process.platform === 'linux',
    'with processor time where there is /proc',
  );
});

t.test('without an earlier result there is nothing to check against', async (t) => {
  const json = join(t.testdir(), 'none.json');
  const { code, stderr } = await runScript(t, 'bench/main', ['--check', '--json', json], { MAX_EVENT_LOOP_DELAY: '0' });
  t.equal(code, 1);
  t.match(stderr, /There is no .*none\.json to compare with: run once without --check/);
});

t.test('a case that does not exist is refused by name', async (t) => {
  const { code, stderr } = await runScript(t, 'bench/main', ['--cases', 'debit,dance']);
  t.equal(code, 2);
  t.match(stderr, /^There is no case "dance": choose of debit, /);
});

t.test('only a ratio that is worse by more than the rounds lie apart counts as worse', async (t) => {
  const toResult = (compares: string, median: number, spread = 0.02): CaseResult => {
    const ratios = { direct: { median, spread, rounds: [median] } };
    return {
      name: 'x',
      question: '',
      compares,
      rows: [{ name: 'x', connections: 64, isReference: false, figures: {}, ratios }],
    };
  };
  const compare = (before: CaseResult, now: CaseResult) =>
    findWorse({ started_at: '', cases: [{ ...before, rows: [...before.rows] }] }, [now]);
  t.strictSame(compare(toResult('rate', 4), toResult('rate', 2)), ['x: x ×64 ÷ direct was 4.000, is 2.000']);
  t.strictSame(compare(toResult('rate', 4), toResult('rate', 3.5)), [], 'less than a quarter');
  t.strictSame(compare(toResult('rate', 4, 0.5), toResult('rate', 2, 0.6)), [], 'rounds that lie apart further');
  t.strictSame(compare(toResult('rate', 2), toResult('rate', 4)), [], 'more a second is better');
  t.equal(compare(toResult('seconds', 2), toResult('seconds', 4)).length, 1, 'more seconds are worse');
});
