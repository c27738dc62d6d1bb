import { Type } from '@sinclair/typebox';
import { createJudge } from '../../scripts/fuzz/judge.js';
import type { Operation } from '../../scripts/fuzz/operations.js';
import { CANARY } from '../../scripts/fuzz/parties.js';
import type { MadeUp } from '../../scripts/fuzz/requests.js';
import { runScript } from '../helpers/http/run-script.js';
import t from '../helpers/run/tap.js';

t.test('made-up requests are answered as the document says', async (t) => {
  const operations = 'logUsage,recordUsage,pushSettings,allocateTokens,updateMe,streamChat';
  const { code, stdout, stderr } = await runScript(t, 'fuzz/main', [
    ...['--seed', '1', '--runs', '15', '--operation', operations],
  ]);
  t.equal(code, 0, `${stdout}\n${stderr}`);
  t.match(stderr, /^1 of 6 logUsage: .*× \d{3}/, 'it tells how far it is');
  t.match(stdout, /\n0 violations: every answer was declared and fits/);
});

t.test('numbers that make no sense are refused', async (t) => {
  const { code, stderr } = await runScript(t, 'fuzz/main', ['--runs', '0']);
  t.equal(code, 2);
  t.match(stderr, /^--runs must be a whole number/);
});

t.test('an answer is judged by its status, its body and whose data it has', async (t) => {
  const body = Type.Object({ count: Type.Integer() });
  const content = { 'application/json': { schema: body } };
  const operation: Operation = {
    ...{ operationId: 'count', method: 'GET', path: '/api/count' },
    responses: { 200: { content }, 500: {} },
  };
  const asked = (party: MadeUp['party']): MadeUp => ({ party, path: '/api/count', body: undefined, headers: {} });
  const judge = createJudge();
  const verdict = (status: number, text: string, party: MadeUp['party'] = 'user') =>
    judge(operation, asked(party), { status, type: 'application/json; charset=utf-8', text });
  t.equal(verdict(200, '{"count":1}'), undefined);
  t.match(verdict(200, '{"count":"1"}'), /a body that does not fit/);
  t.match(verdict(418, '{}'), /not declared/);
  t.match(verdict(500, '{}'), /an answer of 500/, 'although it is declared');
  t.match(verdict(200, `{"count":1,"name":"${CANARY}"}`), /somebody else/);
  t.equal(verdict(200, `{"count":1,"name":"${CANARY}"}`, 'admin'), undefined);
});
