import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import t from 'tap';
import { EnvironmentSchema } from '../../src/config/environment-schema.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';

interface Variable {
  readonly name: string;
  readonly description: string;
  /** The default as an operator would write it, empty where there is none. */
  readonly standard: string;
}

const Documented = Type.Object({
  description: Type.String({ minLength: 1 }),
  default: Type.Optional(Type.Union([Type.String(), Type.Number()])),
});

const variables: readonly Variable[] = Object.entries(EnvironmentSchema.properties).map(([name, property]) => {
  const { description, default: standard = '' } = Value.Decode(Documented, property);
  return { name, description, standard: String(standard) };
});

const readProjectFile = (name: string) => readFile(join(PROJECT_ROOT, name), 'utf8');

t.test('.env.example lists every variable with its description and default, all commented out', async (t) => {
  const [introduction = '', ...paragraphs] = (await readProjectFile('.env.example')).trim().split('\n\n');
  t.match(introduction, /^# .+$/);
  t.strictSame(
    paragraphs,
    variables.map(({ name, description, standard }) => `# ${description}\n# ${name}=${standard}`),
  );
});

t.test("the README's configuration table lists every variable with its default and description", async (t) => {
  const readme = await readProjectFile('README.md');
  const rows = readme.split('\n').flatMap((line) => {
    const [, name, standard, description] = /^\| `([A-Z_]+)` +\| (?:`(.+?)`)? *\| (.+?) *\|$/.exec(line) ?? [];
    return name === undefined || description === undefined ? [] : [{ name, description, standard: standard ?? '' }];
  });
  t.strictSame(rows, variables);
});

t.test('every environment variable the sources read by name is documented or set by the system', async (t) => {
  // npm_lifecycle_event says that npm started the process; npm sets it.
  const system = ['npm_lifecycle_event'];
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
