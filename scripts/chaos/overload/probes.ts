import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { openAgent, sendOnce } from './open-loop.js';

const PROBE_MS = 250;
const PATIENCE_MS = 10_000;
const PATHS = ['/healthz', '/readyz'];

const SeenSchema = Type.Object({ path: Type.String(), status: Type.Optional(Type.Integer()), ms: Type.Number() });
/** What a probe was answered, if it was, and in how many milliseconds. */
export type Seen = Static<typeof SeenSchema>;
const UrlSchema = Type.Object({ probedUrl: Type.String() });

/** Asks health and readiness in a thread of its own, so that the load does not slow the watch down. @returns stops it */
export function startProbes(url: string): () => Promise<readonly Seen[]> {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { probedUrl: url } });
  const seen: Seen[] = [];
  worker.on('message', (message: unknown) => seen.push(Value.Decode(SeenSchema, message)));
  return async () => {
    await worker.terminate();
    return seen;
  };
}

async function probe(url: string, path: string): Promise<void> {
  const agent = openAgent();
  for (;;) {
    const { status, ms } = await sendOnce(agent, url, { method: 'GET', path }, PATIENCE_MS);
    parentPort?.postMessage({ path, ms, ...(status !== undefined && { status }) });
    await delay(PROBE_MS);
  }
}

if (!isMainThread && Value.Check(UrlSchema, workerData)) {
  const { probedUrl } = workerData;
  await Promise.all(PATHS.map((path) => probe(probedUrl, path)));
}
