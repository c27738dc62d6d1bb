import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Agent, request } from 'undici';
import { startBenchServer } from './server.js';

const ROUNDS = 8;
const OPEN_STREAMS = 500;
const SHORT_PROMPT = 'Hello! How are you?';
/** A prompt as long as those of agents that have read a good deal of code: about 500 KB. */
const LONG_PROMPT = 'const value = compute(1, 2.5, "text"); // and more of it\n'.repeat(9_000);

const LOADS: readonly Load[] = [
  { concurrency: 1, prompt: SHORT_PROMPT, round: 100 },
  { concurrency: 10, prompt: SHORT_PROMPT, round: 100 },
  { concurrency: 50, prompt: SHORT_PROMPT, round: 100 },
  { concurrency: 1, prompt: LONG_PROMPT, round: 20 },
];

const agent = new Agent({ connections: OPEN_STREAMS });
const AccountSchema = Type.Object({ token: Type.String() });

/** Where to send requests, and as whom. */
interface Path {
  readonly url: string;
  readonly authorization: string;
}

/** What is compared: how many requests at once, and with which prompt. */
interface Load {
  readonly concurrency: number;
  readonly prompt: string;
  /** Requests of one path in a row, before the other has its turn, so that the machine is equally busy for both. */
  readonly round: number;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

function ask({ url, authorization }: Path, content = SHORT_PROMPT, model = 'bench/short') {
  const body = { model, stream: true, messages: [{ role: 'user', content }] };
  return request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify(body),
    dispatcher: agent,
  });
}

/** Returns the milliseconds to the first byte of an answer, and reads it to its end. */
async function firstByteMs(path: Path, prompt: string): Promise<number> {
  const start = performance.now();
  const { body } = await ask(path, prompt);
  let first: number | undefined;
  for await (const _piece of body) first ??= performance.now() - start;
  return first ?? Number.NaN;
}

async function runRound(path: Path, { concurrency, prompt, round }: Load): Promise<number[]> {
  const times: number[] = [];
  let left = round;
  const worker = async () => {
    for (; left > 0; ) {
      left -= 1;
      times.push(await firstByteMs(path, prompt));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return times;
}

async function compare(direct: Path, metered: Path, load: Load): Promise<string> {
  await runRound(direct, load);
  await runRound(metered, load);
  const times = { direct: [] as number[], metered: [] as number[] };
  for (let count = 0; count < ROUNDS; count += 1) {
    times.direct.push(...(await runRound(direct, load)));
    times.metered.push(...(await runRound(metered, load)));
  }
  const [without, through] = [median(times.direct), median(times.metered)];
  const { concurrency, prompt, round } = load;
  const numbers = `${without.toFixed(2)} ms direct, ${through.toFixed(2)} ms metered, ${(through - without).toFixed(2)} ms added`;
  const kind = prompt === SHORT_PROMPT ? 'short' : `${(prompt.length / 1_000).toFixed(0)} KB`;
  return `${String(concurrency).padStart(3)} at once, ${kind}: ${numbers} (medians of ${round * ROUNDS})`;
}

async function measureStreamMemory(metered: Path, memory: () => Promise<number | undefined>): Promise<string> {
  const before = await memory();
  const streams = await Promise.all(
    Array.from({ length: OPEN_STREAMS }, () => ask(metered, SHORT_PROMPT, 'bench/open')),
  );
  await Promise.all(streams.map(({ body }) => body[Symbol.asyncIterator]().next()));
  const after = await memory();
  for (const { body } of streams) body.on('error', () => {}).destroy();
  if (before === undefined || after === undefined) return 'The system does not say how much memory the server has.';
  const kilobytes = (after - before) / OPEN_STREAMS / 1_024;
  return `${OPEN_STREAMS} open streams: ${kilobytes.toFixed(0)} KB each (${(after / 1_048_576).toFixed(0)} MB altogether)`;
}

// npm run bench:chat: measures what metering adds to the time to the first byte, hold and settlement included.
const server = await startBenchServer();
try {
  const account = await request(`${server.url}/api/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: `${randomUUID()}@example.com`, password: randomUUID() }),
  });
  const { token } = Value.Decode(AccountSchema, await account.body.json());
  const direct = { url: `${server.upstreamUrl}/chat/completions`, authorization: 'Bearer bench' };
  const metered = { url: `${server.url}/api/v1/chat/completions`, authorization: `Bearer ${token}` };
  for (const load of LOADS) process.stdout.write(`${await compare(direct, metered, load)}\n`);
  process.stdout.write(`${await measureStreamMemory(metered, server.memory)}\n`);
} finally {
  await agent.destroy();
  await server.close();
}
