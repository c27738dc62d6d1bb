import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import openapiTypescript, { astToString } from 'openapi-typescript';
import ts from 'typescript';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const run = promisify(execFile);
const server = await openTestServer(t, { environment: { DEFAULT_DEVICE_TOKENS: '7' } });

/** The calls of the README and of the pages in `docs`, with the fields they send, and not one more. */
const CALLS = `
import createClient from 'openapi-fetch';
import type { paths } from './api.js';

const [baseUrl = '', adminToken = ''] = process.argv.slice(2);
const as = (token: string) => ({ authorization: \`Bearer \${token}\` });
const api = createClient<paths>({ baseUrl });

/** Returns an answer's body, and fails with what an error says. */
function read<T>({ data, error }: { data?: T; error?: { code: string; message: string } }): T {
  if (data === undefined) throw new Error(\`\${error?.code}: \${error?.message}\`);
  return data;
}

const device = read(await api.POST('/api/devices/register', {
  body: { device_name: 'My Laptop', hardware_fingerprint: 'generated client', device_secret: 'a secret of twenty characters' },
}));
const headers = as(device.device_token);
const model_type = 'claude-opus-4.5';
const check = read(await api.POST('/api/devices/check-can-use', { headers, body: { model_type } }));
const logged = read(await api.POST('/api/usage/log', { headers, body: { model_type, event_id: 'first' } }));
const own = read(await api.POST('/api/devices/{id}/usage', {
  headers,
  params: { path: { id: device.device_id } },
  body: { model_type, prompt_count: 1 },
}));
const refused = await api.POST('/api/usage/log', { headers, body: { model_type } });
if (refused.error?.code !== 'INSUFFICIENT_TOKENS') throw new Error('the codes are a type');
const balance = read(await api.GET('/api/devices/{id}/tokens', { headers, params: { path: { id: device.device_id } } }));

const person = read(await api.POST('/api/auth/register', { body: { email: 'client@example.com', password: 'a long enough passphrase' } }));
const mine = as(person.token);
const summary = read(await api.GET('/api/usage/summary', { headers: mine }));
const events = read(await api.GET('/api/usage', { headers: mine, params: { query: { provider: 'openai' } } }));
const key = read(await api.POST('/api/users/me/api-keys', { headers: mine, body: { name: 'script' } }));
const pulled = read(await api.GET('/api/sync/pull', { headers: mine }));
const budget = read(await api.PUT('/api/admin/budget', { headers: as(adminToken), body: { total: 1000 } }));
const reset = read(await api.POST('/api/admin/reset-monthly', { headers: as(adminToken), body: { default_tokens: 7 } }));
const ended = read(await api.POST('/api/auth/logout', { headers: mine }));

console.log(JSON.stringify({
  can_use: check.can_use,
  tokens_used: logged.tokens_used + own.tokens_used,
  refused: refused.error?.code,
  remaining: balance.remaining,
  days: summary.totals.total_tokens,
  events: events.usage.length,
  key: key.key.startsWith('tlk_'),
  version: pulled.version,
  total: budget.total,
  reset: Object.keys(reset).length > 0,
  ended: ended.ended,
}));
`;

/** Compiles the files of a folder under \`strict\`, and returns what the compiler has to say. */
function compile(folder: string): string {
  const program = ts.createProgram([join(folder, 'calls.ts')], {
    strict: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    skipLibCheck: true,
    types: ['node'],
    typeRoots: [join(PROJECT_ROOT, 'node_modules/@types')],
  });
  const problems = [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics];
  return ts.formatDiagnostics(problems, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => folder,
    getNewLine: () => '\n',
  });
}

t.test('a client generated from the document makes the calls of the README', async (t) => {
  await mkdir(join(PROJECT_ROOT, 'dist'), { recursive: true });
  const folder = await mkdtemp(join(PROJECT_ROOT, 'dist', 'generated-client-'));
  t.after(() => rm(folder, { recursive: true }));
  const document = (await server.app.inject({ url: '/openapi.json' })).payload;
  await writeFile(join(folder, 'api.ts'), astToString(await openapiTypescript(document)));
  await writeFile(join(folder, 'calls.ts'), CALLS);
  t.equal(compile(folder), '', 'it compiles');

  const { token } = await logInAsAdmin(server);
  const { stdout } = await run(process.execPath, [join(folder, 'calls.js'), await server.listen(), token]);
  t.strictSame(JSON.parse(stdout), {
    can_use: true,
    tokens_used: 6,
    refused: 'INSUFFICIENT_TOKENS',
    remaining: 1,
    days: 0,
    events: 0,
    key: true,
    version: 0,
    total: 1000,
    reset: true,
    ended: 1,
  });
  await server.verifyLedger(t);
});

t.end();
