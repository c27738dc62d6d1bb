import { spawn, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { logInAsAdmin, PASSWORD } from '../helpers/admin.js';
import { openChatServer } from '../helpers/chat.js';
import { usualMessage } from '../helpers/fakes/anthropic.js';
import { type Answering, completion, streaming, usualStream, whole } from '../helpers/fakes/openrouter.js';
import { listCommands } from '../helpers/markdown.js';
import t from '../helpers/run/tap.js';

/** Pages whose requests are made, in an order in which each has what it needs of those before. */
const PAGES = [
  'api',
  'devices',
  'accounts',
  'usage',
  'events',
  'users',
  'settings',
  'tracker',
  'chat',
  'subscriptions',
  'admin',
];

/** Requests that the pages say fail here: a stream that is left, and subscriptions without Stripe. */
const EXPECTED_FAILURES = [
  '28 /sync/stream',
  '22 -X POST /subscriptions',
  '22 -X PUT /subscriptions',
  '22 -X DELETE /subscriptions',
  '22 -X POST /subscriptions/portal',
];

/** Tells of each request that fails, with curl's exit code; undefined variables end the script. */
const PREAMBLE = `set -u
curl() { command curl --silent --fail-with-body "$@" || echo "FAILED $? $*" >&2; }
`;

const missing = ['bash', 'curl'].find((program) => spawnSync(program, ['--version']).error !== undefined);

async function readCommands(page: string): Promise<string[]> {
  const commands = listCommands(await readFile(join(PROJECT_ROOT, 'docs', `${page}.md`), 'utf8'));
  return commands.filter((block) => block.includes('curl '));
}

/** Runs a script in a folder, with a line on its standard input. */
async function runScript(script: string, cwd: string, line: string) {
  const shell = spawn('bash', ['-c', script], { cwd });
  shell.stdin.end(`${line}\n`);
  const [output, errors] = await Promise.all([text(shell.stdout), text(shell.stderr)]);
  return { output, errors: errors.split('\n').filter((error) => error !== '') };
}

/** Returns a reported failure as the exit code, the method and the path. */
function summarizeFailure(line: string, api: string): string {
  const [, code = '', request = ''] = /^FAILED (\d+) (.*)$/.exec(line) ?? [line];
  const method = /-X \w+ /.exec(request)?.[0] ?? '';
  const path = request.split(' ').find((word) => word.startsWith(api)) ?? line;
  return `${code} ${method}${path.slice(api.length)}`;
}

/** Answers a request in its own format. */
const answer: Answering = (response, request) => {
  if (request.path.endsWith('/messages')) return usualMessage(response, request);
  const how = request.body['stream'] === true ? streaming(usualStream()) : whole(completion());
  return how(response, request);
};

t.test(
  'every request of the pages can be made as written',
  { skip: missing === undefined ? false : `needs ${missing}` },
  async (t) => {
    const server = await openChatServer(t, { environment: { EMAIL_ONLY_SIGNUP: 'on' } });
    server.upstream.answer(answer);
    const url = await server.listen();
    await logInAsAdmin(server, 'admin');
    const blocks = (await Promise.all(PAGES.map(readCommands))).flat();
    const script = PREAMBLE + blocks.join('\n').replaceAll('http://127.0.0.1:3000', url);
    const { output, errors } = await runScript(script, t.testdir(), PASSWORD);
    t.strictSame(
      errors.map((line) => summarizeFailure(line, `${url}/api`)),
      EXPECTED_FAILURES,
      'only what the pages say fails',
    );
    t.match(output, '"ok":true', 'the last page was reached');
    t.ok(server.upstream.requests.length > 0, 'chat reached its upstream');
    await server.verifyLedger(t);
  },
);
