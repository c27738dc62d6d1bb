import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import t from '../helpers/run/tap.js';

const readProjectFile = (name: string) => readFile(join(PROJECT_ROOT, name), 'utf8');

t.test('the page about chat clients names the versions that are tested', async (t) => {
  const page = await readProjectFile('docs/clients.md');
  const { devDependencies }: { devDependencies: Record<string, string> } = JSON.parse(
    await readProjectFile('package.json'),
  );
  const rows = [...page.matchAll(/^\| `([^`]+)` +\| ([0-9.]+) +\|/gm)].map(([, name = '', version]) => [name, version]);
  t.ok(rows.length >= 5);
  t.strictSame(
    rows,
    rows.map(([name = '']) => [name, devDependencies[name]]),
  );
  t.ok(page.includes(`\`ai\` ${devDependencies['ai']}`));
});

t.end();
