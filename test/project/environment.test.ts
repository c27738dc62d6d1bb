import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listVariables } from '../../scripts/build/describe-configuration.js';
import { EnvironmentSchema } from '../../src/config/environment-schema.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import t from '../helpers/run/tap.js';

const readProjectFile = (name: string) => readFile(join(PROJECT_ROOT, name), 'utf8');
const sections = listVariables();
const variables = sections.flatMap(([, entries]) => entries);

t.test('every variable of the schema is in a section, and explained', async (t) => {
  t.strictSame(variables.map(({ name }) => name).sort(), Object.keys(EnvironmentSchema.properties).sort());
  for (const { name, description } of variables) t.match(description, /^.+\.$/, name);
});

t.test('.env.example lists every variable with its description and default, all commented out', async (t) => {
  const [introduction = '', ...paragraphs] = (await readProjectFile('.env.example')).trim().split('\n\n');
  t.match(introduction, /^# .+$/);
  t.strictSame(
    paragraphs,
    variables.map(({ name, description, default: value = '' }) => `# ${description}\n# ${name}=${value}`),
    'run "npm run configuration" where it differs',
  );
});

t.test('docs/configuration.md lists every variable with its default and description', async (t) => {
  const page = await readProjectFile('docs/configuration.md');
  const rows = page.split('\n').flatMap((line) => {
    const [, name, value, description] = /^\| `([A-Z0-9_]+)` \| (?:`(.+?)`)? *\| (.+?) \|$/.exec(line) ?? [];
    return name === undefined || description === undefined ? [] : [{ name, description, value: value ?? '' }];
  });
  t.strictSame(
    rows,
    variables.map(({ name, description, default: value = '' }) => ({ name, description, value: String(value) })),
    'run "npm run configuration" where it differs',
  );
});

t.test('every environment variable the sources read by name is documented or set by the system', async (t) => {
  // npm_lifecycle_event says that npm started the process; npm sets it. NODE_APP_INSTANCE numbers PM2's processes.
  const system = ['npm_lifecycle_event', 'NODE_APP_INSTANCE'];
  const files = (await readdir(join(PROJECT_ROOT, 'src'), { recursive: true })).filter((file) => file.endsWith('.ts'));
  const sources = await Promise.all(files.map((file) => readProjectFile(join('src', file))));
  const read = sources.flatMap((source) => [...source.matchAll(/process\.env\[?[.'"]+(\w+)/g)].map(([, name]) => name));
  t.ok(read.length > 0, 'the search finds what is there');
  const known = [...system, ...variables.map(({ name }) => name)];
  t.strictSame(
    read.filter((name) => name === undefined || !known.includes(name)),
    [],
  );
});
