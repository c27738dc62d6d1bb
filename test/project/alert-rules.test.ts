import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseYaml } from '@redocly/openapi-core';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { isMissing } from '../helpers/local-program.js';
import t from '../helpers/run/tap.js';

const RulesSchema = Type.Object({
  groups: Type.Array(
    Type.Object({
      rules: Type.Array(
        Type.Object({
          alert: Type.String(),
          labels: Type.Object({ severity: Type.Union([Type.Literal('critical'), Type.Literal('warning')]) }),
          annotations: Type.Object({ summary: Type.String(), runbook: Type.String() }),
        }),
      ),
    }),
  ),
});

const RULES = 'scripts/deploy/prometheus-alerts.yml';
const RULES_TEST = 'scripts/deploy/prometheus-alerts-test.yml';
const read = (path: string) => readFile(join(PROJECT_ROOT, path), 'utf8');

t.test('each alert rule names the section that says what to do, and each section has its rule', async (t) => {
  const { groups } = Value.Decode(RulesSchema, parseYaml(await read(RULES)));
  const rules = groups.flatMap((group) => group.rules);
  const page = await read('docs/operations.md');
  const sections = new Map([...page.matchAll(/^### (Tokenledger\w+)\n\n(.+)/gm)].map(([, name, text]) => [name, text]));
  t.strictSame([...sections.keys()].sort(), rules.map(({ alert }) => alert).sort());
  for (const { alert, annotations } of rules) {
    t.equal(annotations.runbook, `docs/operations.md#${alert.toLowerCase()}`);
    t.ok((sections.get(alert)?.length ?? 0) > 60, `${alert} says something`);
  }
});

t.test('what the rules do was tried for each of them', async (t) => {
  const { groups } = Value.Decode(RulesSchema, parseYaml(await read(RULES)));
  const tried = await read(RULES_TEST);
  for (const { alert } of groups.flatMap(({ rules }) => rules)) t.match(tried, new RegExp(`\\b${alert}\\b`));
});

t.test('promtool finds no fault', { skip: isMissing('promtool', '--version') }, async (t) => {
  const run = (...args: string[]) => promisify(execFile)('promtool', args, { cwd: PROJECT_ROOT });
  t.match((await run('check', 'rules', RULES)).stdout, /SUCCESS/);
  t.match((await run('test', 'rules', RULES_TEST)).stdout, /SUCCESS/);
});

t.end();
