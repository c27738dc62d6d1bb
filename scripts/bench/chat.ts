import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Agent, request } from 'undici';
import { startBenchServer } from './server.js';

const CONCURRENCY = [1, 10, 50] as const;
/** Requests of one path in a row, before the other has its turn, so that the machine is equally busy for both. */
const ROUND = 100;
const ROUNDS = 8;
const OPEN_STREAMS = 500;

const agent = new Agent({ connections: OPEN_STREAMS });
const AccountSchema = Type.Object({ token: Type.String() });

/** Where to send requests, and as whom. */
interface Path {
  readonly url: string;
  readonly authorization: string;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

function ask({ url, authorization }: Path, model = 'bench/short') {
  const body = { model, stream: true, messages: [{ role: 'user', content: 'Hello! How are you?' }] };
  return request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify(body),
    dispatcher: agent,
  });
}

/** Returns the milliseconds to the first byte of an answer, and reads it to its end. */
async function firstByteMs(path: Path): Promise<number> {
  const start = performance.now();
  const { body } = await ask(path);
  let first: number | undefined;
  for await (const _piece of body) first ??= performance.now() - start;
  return first ?? Number.NaN;
}

async function round(path: Path, concurrency: number): Promise<number[]> {
  const times: number[] = [];
  let left = ROUND;
  const worker = async () => {
    for (; left > 0; ) {
      left -= 1;
      times.push(await firstByteMs(path));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return times;
}

async function compare(direct: Path, metered: Path, concurrency: number): Promise<string> {
  await round(direct, concurrency);
  await round(metered, concurrency);
  const times = { direct: [] as number[], metered: [] as number[] };
  for (let count = 0; count < ROUNDS; count += 1) {
    times.direct.push(...(await round(direct, concurrency)));
    times.metered.push(...(await round(metered, concurrency)));
  }
  const [without, through] = [median(times.direct), median(times.metered)];
  const numbers = `${without.toFixed(2)} ms direct, ${through.toFixed(2)} ms metered, ${(through - without).toFixed(2)} ms added`;
  return `${String(concurrency).padStart(3)} at once: ${numbers} (medians of ${ROUND * ROUNDS})`;
}

async function measureStreamMemory(metered: Path, memory: () => Promise<number | undefined>): Promise<string> {
  const before = await memory();
  const streams = await Promise.all(Array.from({ length: OPEN_STREAMS }, () => ask(metered, 'bench/open')));
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
  for (const concurrency of CONCURRENCY) process.stdout.write(`${await compare(direct, metered, concurrency)}\n`);
  process.stdout.write(`${await measureStreamMemory(metered, server.memory)}\n`);
} finally {
  await agent.destroy();
  await server.close();
}
