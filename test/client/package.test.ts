import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import openapiTypescript, { astToString } from 'openapi-typescript';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const run = promisify(execFile);
/** The most the client may add to an extension, in bytes; compressors differ by some. */
const LIMIT_BYTES = 6_200;

t.test(`all of it is at most ${LIMIT_BYTES} bytes, minified and compressed, and needs no package`, async (t) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(PROJECT_ROOT, 'src/client/client.ts')],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'esm',
    target: 'es2022',
  });
  const size = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).byteLength;
  t.ok(size <= LIMIT_BYTES, `it has ${size}`);
  t.strictSame(
    Object.keys(metafile.inputs).filter((path) => !path.includes('src/client/')),
    [],
  );
});

/** Each line fails to compile where the client's idea of a body is not the server's. */
const COMPARISONS = `
import type { components, operations } from './api.js';
import type * as client from '../../src/client/types.js';
import type { ServerErrorCode } from '../../src/client/errors.js';

type Body<Name extends keyof operations> = operations[Name] extends { requestBody?: { content: { 'application/json': infer B } } } ? B : never;
type Answer<Name extends keyof operations> = operations[Name] extends { responses: { 200: { content: { 'application/json': infer A } } } } ? A : never;
/** What the first may be, the second may be. */
type Fits<From extends To, To> = From;

export type Requests = [
  Fits<client.RegisterDeviceBody, Body<'registerDevice'>>,
  Fits<client.CheckBody, Body<'checkUse'>>,
  Fits<client.UseToLog, Body<'logUsage'>>,
  Fits<client.SignUpBody, Body<'registerUser'>>,
  Fits<client.ChatBody, Body<'streamChat'>>,
  Fits<client.PushBody, Body<'pushSettings'>>,
];
export type Answers = [
  Fits<Answer<'registerDevice'>, client.RegisteredDevice>,
  Fits<Answer<'getDeviceBalance'>, client.DeviceBalance>,
  Fits<Answer<'checkUse'>, client.CheckedUse>,
  Fits<Answer<'logUsage'>, client.LoggedUsage>,
  Fits<Answer<'logIn'>, client.SignedIn>,
  Fits<Answer<'finishSignIn'>, client.SignedIn>,
  Fits<Answer<'refreshSession'>, client.SignedIn>,
  Fits<Answer<'exchangeOauthCode'>, client.SignedIn>,
  Fits<Answer<'getMe'>, client.User>,
  Fits<keyof client.PushedSettings, keyof Answer<'pushSettings'>>,
  Fits<keyof client.PulledSettings, keyof Answer<'pullSettings'>>,
  Fits<ServerErrorCode, components['schemas']['ErrorCode']>,
];
// None of the bodies may be unknown to the document.
const known: [Body<'registerDevice'>, Body<'checkUse'>, Body<'logUsage'>, Body<'registerUser'>, Body<'streamChat'>, Body<'pushSettings'>] extends never[] ? false : true = true;
export default known;
`;

/** What the examples of the page take for granted. */
const SURROUNDINGS = `
import { type Client, type ClientOptions, createClient, hasCode } from 'tokenledger/client';
declare const client: Client;
declare const options: ClientOptions;
declare function askTheModel(): Promise<string>;
declare function askForCode(): Promise<string>;
declare function show(text: unknown): void;
export { client, options, createClient, hasCode, askTheModel, askForCode, show };
`;

/** Returns the examples of the page as modules, each in a function of its own. */
function toModules(page: string): string[] {
  const examples = [...page.matchAll(/^```typescript\n(.*?)^```$/gms)].map(([, code = '']) => code);
  return examples.map((code) => {
    const [imports, body] = [code.match(/^import .*$/gm)?.join('\n'), code.replace(/^import .*$/gm, '')];
    const taken = imports === undefined ? 'client, options, createClient, hasCode, askForCode, ' : '';
    return `${imports ?? ''}\nimport { ${taken}askTheModel, show } from './surroundings.js';\nexport async function example() {\n${body}\n}`;
  });
}

t.test('its types are those of the OpenAPI document, and the examples of its page compile', async (t) => {
  const server = await openTestServer(t);
  await mkdir(join(PROJECT_ROOT, 'dist'), { recursive: true });
  const folder = await mkdtemp(join(PROJECT_ROOT, 'dist', 'client-types-'));
  t.after(() => rm(folder, { recursive: true }));
  const document = (await server.app.inject({ url: '/openapi.json' })).payload;
  await writeFile(join(folder, 'api.ts'), astToString(await openapiTypescript(document)));
  await writeFile(join(folder, 'comparisons.ts'), COMPARISONS);
  await writeFile(join(folder, 'surroundings.ts'), SURROUNDINGS);
  const modules = toModules(await readFile(join(PROJECT_ROOT, 'docs/client.md'), 'utf8'));
  t.equal(modules.length, 5);
  await Promise.all(modules.map((module, index) => writeFile(join(folder, `example-${index}.ts`), module)));
  const compilerOptions = {
    noEmit: true,
    incremental: false,
    rootDir: PROJECT_ROOT,
    noUnusedLocals: false,
    noUnusedParameters: false,
    types: ['chrome'],
    typeRoots: [join(PROJECT_ROOT, 'node_modules/@types')],
    paths: { 'tokenledger/client': [join(PROJECT_ROOT, 'src/client/client.ts')] },
  };
  const configuration = { extends: join(PROJECT_ROOT, 'src/client/tsconfig.json'), compilerOptions, include: ['.'] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(configuration));
  const compiler = join(PROJECT_ROOT, 'node_modules/typescript/bin/tsc');
  const said = await run(process.execPath, [compiler, '-p', folder]).then(
    () => '',
    ({ stdout }) => String(stdout),
  );
  t.equal(said, '');
});

t.test('the package has what it says, with types', async (t) => {
  const { exports } = JSON.parse(await readFile(join(PROJECT_ROOT, 'package.json'), 'utf8'));
  t.strictSame(exports, {
    './client': { types: './dist/src/client/client.d.ts', default: './dist/src/client/client.js' },
  });
});

t.end();
