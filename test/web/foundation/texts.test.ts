import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ENVIRONMENT_SECTIONS } from '../../../src/config/environment-schema.js';
import { ERROR_CODES } from '../../../src/platform/errors.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { listFiles } from '../../helpers/run/compile.js';
import t from '../../helpers/run/tap.js';

const WEB = join(PROJECT_ROOT, 'src/web');
const FOLDER = join(WEB, 'foundation/text');
/** Forms of a number that some languages have and others do not. */
const FORMS = /\.(zero|one|two|few|many|other)$/;

/** Every text by its path. */
function flatten(part: unknown, path = ''): [path: string, text: string][] {
  if (typeof part === 'string') return [[path, part]];
  if (typeof part !== 'object' || part === null) throw new Error(`${path} is no text`);
  return Object.entries(part).flatMap(([name, value]) => flatten(value, path === '' ? name : `${path}.${name}`));
}

const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.json'));
const languages = new Map(
  await Promise.all(
    names.map(async (name) => {
      const texts: unknown = JSON.parse(await readFile(join(FOLDER, name), 'utf8'));
      return [name, new Map(flatten(texts))] as const;
    }),
  ),
);
const english = languages.get('en.json') ?? new Map<string, string>();
const placeholders = (text: string) => [...new Set(text.match(/\{\w+\}/g))].sort();
const keysOf = (texts: ReadonlyMap<string, string>) => [
  ...new Set([...texts.keys()].map((key) => key.replace(FORMS, ''))),
];

t.test('every language has every text, in the same order, with the same placeholders', async (t) => {
  t.ok(english.size > 0 && languages.size > 1);
  for (const [name, texts] of languages) {
    t.strictSame(keysOf(texts), keysOf(english), name);
    const isWrong = ([key, text]: [string, string]) => {
      const model = english.get(key) ?? english.get(key.replace(FORMS, '.other')) ?? '';
      return text.trim() === '' || placeholders(text).join() !== placeholders(model).join();
    };
    t.strictSame([...texts].filter(isWrong), [], name);
  }
});

/** Codes of what no page asks for: chat, devices, trackers, and what only programs do. */
const NOT_FOR_PAGES =
  /^(CHAT|COST|COUNTER|DEVICE_SECRET|EMAIL_REQUIRED|ENROLLMENT|HEADERS|INSUFFICIENT_SCOPE|INVALID_ACCESS|INVALID_JSON|INVALID_SIGNATURE|LIVEMODE|METHOD|MODEL|NO_SESSION|RESERVATION|TIMESTAMP|TRACKER|UNSUPPORTED|UPSTREAM|USER_DATA)/;

t.test('every error a page can meet has a text, so that none is told in another language', async (t) => {
  const isMissing = (code: string) => !english.has(`errors.${code}`) && !NOT_FOR_PAGES.test(code);
  t.strictSame(ERROR_CODES.filter(isMissing), []);
});

t.test('every variable of the settings is described in every other language', async (t) => {
  const settings = join(WEB, 'admin/settings');
  for (const name of names.filter((one) => one !== 'en.json')) {
    const described: unknown = JSON.parse(await readFile(join(settings, name), 'utf8'));
    const variables = Object.values(ENVIRONMENT_SECTIONS).flatMap((section) => Object.keys(section));
    t.strictSame(
      keysOf(new Map(flatten(described))),
      [
        ...Object.keys(ENVIRONMENT_SECTIONS).map((section) => `sections.${section}`),
        ...variables.map((variable) => `variables.${variable}`),
      ],
      name,
    );
  }
});

t.test('every text is used', async (t) => {
  const files = (await Promise.all(['.ts', '.tsx'].map((ending) => listFiles(WEB, ending)))).flat();
  const sources = (await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('\n');
  // Some are named by what the server says, such as the code of an error: the part before that is what is written.
  const isUsed = (key: string) =>
    key.split('.').some((_, index, parts) => {
      const path = parts.slice(0, parts.length - index).join('.');
      return index === 0 ? sources.includes(`'${path}'`) : sources.includes(`${path}.\${`);
    });
  t.strictSame(
    keysOf(english).filter((key) => !isUsed(key)),
    [],
  );
});

t.end();
