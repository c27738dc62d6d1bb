import { parseEvents, parseTokenUpdate, QUESTION } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import {
  DONE,
  type FakeUpstream,
  openUpstream,
  startStream,
  stopChunk,
  textChunk,
  usageChunk,
} from '../../helpers/fakes/openrouter.js';
import { assertLedger } from '../../helpers/http/server-load.js';
import {
  openReadyDirectory,
  type ServerDirectory,
  type ServerProcess,
  startServer,
} from '../../helpers/http/server-process.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

// Most of the time they wait for a process.
t.jobs = 4;
const AT_ONCE = { buffered: true };

interface Process {
  readonly server: ServerProcess;
  readonly upstream: FakeUpstream;
  readonly directory: ServerDirectory;
  readonly environment: Record<string, string>;
  readonly token: string;
  readonly url: string;
}

async function openProcess(t: Parameters<typeof openUpstream>[0]): Promise<Process> {
  const upstream = await openUpstream(t);
  const directory = await openReadyDirectory(t);
  const environment = { ...upstream.environment, SIGNUP: 'open' };
  const server = startServer(t, { cwd: directory.path, environment });
  const url = await server.ready();
  const response = await fetch(`${url}/api/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'one@example.com', password: 'correct horse battery staple' }),
  });
  const { token }: { token: string } = JSON.parse(await response.text());
  return { server, upstream, directory, environment, token, url };
}

/** Begins a stream and tells what has come of it so far. */
async function beginStream({ url, token }: Process): Promise<{ heard: () => string; ended: Promise<void> }> {
  let heard = '';
  const read = async () => {
    const response = await fetch(`${url}/api/chat/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...QUESTION, max_tokens: 100 }),
    });
    for await (const piece of response.body ?? []) heard += Buffer.from(piece).toString();
  };
  return { heard: () => heard, ended: read() };
}

t.test('a server that is asked to stop lets a stream end first', AT_ONCE, async (t) => {
  const process = await openProcess(t);
  const released = createDeferred();
  process.upstream.answer(async (response) => {
    startStream(response);
    response.write(textChunk('Hello'));
    await released.promise;
    response.end(usageChunk(12, 8) + DONE);
  });
  const { heard, ended } = await beginStream(process);
  await untilTrue(() => heard().includes('Hello'));
  process.server.signal('SIGTERM');
  await untilTrue(() =>
    fetch(`${process.url}/readyz`).then(
      ({ status }) => status === 503,
      () => true,
    ),
  );
  released.resolve();
  await ended;
  t.match(parseTokenUpdate(heard()), { tokens_left: 999_980, tokens_used: 20 });
  t.strictSame(await process.server.ended, { code: 0, signal: null });
});

t.test('a stream that does not end within its time ends with an error, and is settled', AT_ONCE, async (t) => {
  const process = await openProcess(t);
  process.upstream.answer((response) => {
    startStream(response);
    response.write(textChunk('Hello there'));
  });
  const { heard, ended } = await beginStream(process);
  await untilTrue(() => heard().includes('Hello'));
  process.server.signal('SIGTERM');
  await ended;
  const [, error = '{}', , end] = parseEvents(heard());
  t.match(JSON.parse(error), { code: 'SERVER_STOPPING' });
  t.match(parseTokenUpdate(heard()), { tokens_used: /^\d+$/ });
  t.equal(end, '[DONE]');
  t.strictSame(await process.server.ended, { code: 0, signal: null }, process.server.stderr());
});

const POINTS: readonly (readonly [name: string, text: string])[] = [
  ['before the first byte', ''],
  ['after the first chunk', textChunk('Hello')],
  ['half-way', textChunk('Hello') + textChunk(' and') + textChunk(' good')],
  ['after finish_reason, before usage', textChunk('Hello') + stopChunk()],
];
for (const [name, text] of POINTS) {
  t.test(`kill -9 ${name} leaves a hold that the next server settles`, AT_ONCE, async (t) => {
    const process = await openProcess(t);
    process.upstream.answer((response) => {
      startStream(response);
      response.flushHeaders();
      if (text !== '') response.write(text);
    });
    const { heard, ended } = await beginStream(process);
    ended.catch(() => {});
    await untilTrue(() => (text === '' ? process.upstream.requests.length > 0 : heard().includes('Hello')));
    if (text !== '') {
      await untilTrue(async () => {
        const [row] = await process.directory.sql<{ upstream_id: string | null }>(
          'select upstream_id from public.generations',
        );
        return row?.upstream_id === 'gen-1';
      });
    }
    process.server.signal('SIGKILL');
    await process.server.ended;
    const [held] = await process.directory.sql<{ amount: string; status: string }>(
      'select amount, status from public.reservations',
    );
    t.equal(held?.status, 'held', 'the hold outlives the server');
    await process.directory.sql(`update public.reservations set expires_at = now() - interval '1 second'`);
    process.upstream.count('gen-1', { input: 9, output: 6 });
    const next = startServer(t, { cwd: process.directory.path, environment: process.environment });
    await next.ready();
    const provenance = text === '' ? 'estimated' : 'provider_final';
    await untilTrue(async () => {
      const [row] = await process.directory.sql<{ provenance: string | null }>(
        'select provenance from public.generations',
      );
      return row?.provenance === provenance;
    });
    const [balance] = await process.directory.sql<{ spent: string; reserved: string }>(
      `select 1000000 - (allocated - used - reserved) as spent, reserved from public.balances`,
    );
    t.equal(Number(balance?.reserved), 0, 'nothing is stuck');
    t.equal(Number(balance?.spent), text === '' ? Number(held?.amount) : 15, 'it is paid for once');
    await assertLedger(t, process.directory.sql);
  });
}
