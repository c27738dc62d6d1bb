import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';

import { CLIENT_ERROR_CODES } from '../../src/client/errors.js';
import { EnvironmentSchema } from '../../src/config/environment-schema.js';
import { isPoolerProblem } from '../../src/platform/database/pooler-problem.js';
import { isErrorCode } from '../../src/platform/errors.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { type Page, parsePage } from '../helpers/markdown.js';
import t from '../helpers/run/tap.js';

const FOLDERS = ['.', 'docs', '.github'];
const LONGEST_README = 150;
/** Variables of the tests, which the server does not read. */
const TEST_VARIABLES = ['CITUS_URL', 'CHROMIUM_PATH'];

const readProjectFile = (name: string) => readFile(join(PROJECT_ROOT, name), 'utf8');
const exists = (name: string) =>
  stat(join(PROJECT_ROOT, name)).then(
    () => true,
    () => false,
  );

/** Returns the project's own pages: those of other folders are dependencies' and build products. */
async function listPages(): Promise<string[]> {
  const folders = await Promise.all(
    FOLDERS.map(async (folder) => {
      const names = await readdir(join(PROJECT_ROOT, folder)).catch(() => []);
      return names.filter((name) => name.endsWith('.md')).map((name) => normalize(join(folder, name)));
    }),
  );
  return folders.flat();
}

async function readPages(): Promise<Map<string, Page>> {
  const names = await listPages();
  return new Map(await Promise.all(names.map(async (name) => [name, parsePage(await readProjectFile(name))] as const)));
}

/** Returns the links of a page that lead nowhere within the project. */
async function findBrokenLinks(pages: ReadonlyMap<string, Page>, name: string): Promise<string[]> {
  const links = (pages.get(name)?.links ?? []).filter((link) => !/^[a-z]+:/.test(link));
  const checked = await Promise.all(
    links.map(async (link) => {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? name : normalize(join(dirname(name), path));
      const isThere = pages.has(target) || (await exists(target));
      return isThere && (anchor === undefined || pages.get(target)?.anchors.includes(anchor)) ? [] : [link];
    }),
  );
  return checked.flat();
}

async function findMissing(paths: readonly string[]): Promise<string[]> {
  const missing = await Promise.all(paths.map(async (path) => ((await exists(path)) ? [] : [path])));
  return missing.flat();
}

async function listScripts(): Promise<string[]> {
  const { scripts }: { scripts: Record<string, string> } = JSON.parse(await readProjectFile('package.json'));
  return Object.keys(scripts);
}

function findUnknownConstants({ constants }: Page): string[] {
  const variables = [...Object.keys(EnvironmentSchema.properties), ...TEST_VARIABLES, ...CLIENT_ERROR_CODES];
  return constants.filter((name) => !variables.includes(name) && !isErrorCode(name) && !isPoolerProblem(name));
}

const pages = await readPages();
const scripts = await listScripts();

t.test('every link leads to a file, and to a heading where it names one', async (t) => {
  for (const name of pages.keys()) t.strictSame(await findBrokenLinks(pages, name), [], name);
});

t.test('every script that is named can be run', async (t) => {
  for (const [name, page] of pages) {
    t.strictSame(
      page.scripts.filter((script) => !scripts.includes(script)),
      [],
      name,
    );
  }
});

t.test('every file and folder that is named exists', async (t) => {
  for (const [name, { paths }] of pages) t.strictSame(await findMissing(paths), [], name);
});

t.test('every variable and error code that is named exists', async (t) => {
  for (const [name, page] of pages) t.strictSame(findUnknownConstants(page), [], name);
});

t.test('the index lists every page', async (t) => {
  const listed = pages.get('docs/README.md')?.links.map((link) => normalize(join('docs', link)));
  const all = [...pages.keys()].filter((name) => name.startsWith('docs/') && name !== 'docs/README.md');
  t.ok(all.length > 0, 'the search finds what is there');
  t.strictSame(
    all.filter((name) => !listed?.includes(name)),
    [],
  );
});

t.test(`the README has at most ${LONGEST_README} lines`, async (t) => {
  const lines = (await readProjectFile('README.md')).trimEnd().split('\n');
  t.ok(lines.length <= LONGEST_README, `it has ${lines.length}`);
});

t.test('faults are found, and what only looks like one is not', async (t) => {
  const markdown = [
    '# A page, and *its* `code`!',
    '## Twice',
    '## Twice',
    '[a](../README.md) [b](#twice-1) [c](#a-page-and-its-code) [d](https://example.com/x.md)',
    '[e](nowhere.md) [f](#three) [g](../README.md#nowhere) `[h](in-code.md)`',
    '`src/app.ts`, `src/nowhere.ts`, `supabase/schemas/<area>/functions/<name>.sql`, `src/*/nowhere`, in `test/`.',
    '`PORT=3000`, `DATA_DIR`, `NOT_FOUND`, `NO_WHERE`',
    '```bash',
    'npm run build && npm run nowhere -- test/nowhere.test.ts  # [i](in-a-block.md)',
    'node dist/scripts/nowhere.js; curl https://example.com/docs/nowhere',
    '```',
  ].join('\n');
  const page = parsePage(markdown);
  const planted = new Map([...pages, ['docs/planted.md', page]]);
  t.strictSame(await findBrokenLinks(planted, 'docs/planted.md'), ['nowhere.md', '#three', '../README.md#nowhere']);
  t.strictSame(page.anchors, ['a-page-and-its-code', 'twice', 'twice-1']);
  t.strictSame(await findMissing(page.paths), ['src/nowhere.ts', 'test/nowhere.test.ts', 'scripts/nowhere.ts']);
  t.strictSame(
    page.scripts.filter((script) => !scripts.includes(script)),
    ['nowhere'],
  );
  t.strictSame(findUnknownConstants(page), ['NO_WHERE']);
});
