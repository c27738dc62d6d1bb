import {
  batchItems,
  batchWaitSeconds,
  chatTokens,
  deliveries,
  jobSeconds,
  jobSuccess,
  maintained,
  meteredItems,
  meteredTokens,
  rateLimited,
  upstreamSeconds,
} from './registry.js';

/** Returns the seconds since a time of `performance.now()`. */
const secondsSince = (started: number) => (performance.now() - started) / 1_000;

/** An item of metering, and what became of it: what is counted of both. */
interface Metered {
  readonly op?: unknown;
  readonly code?: unknown;
  readonly tokens_used?: unknown;
}

const isObject = (value: unknown): value is Metered => typeof value === 'object' && value !== null;

/** Reports a batch that is being sent. @param waitedSince when its oldest item came, by `performance.now()` */
export function reportBatch(name: string, items: number, waitedSince: number): void {
  batchItems.observe({ function: name }, items);
  batchWaitSeconds.observe({ function: name }, secondsSince(waitedSince));
}

/** Reports what became of the items of a batch; items of one kind are added up before they are counted. */
export function reportOutcomes(name: string, items: readonly unknown[], outcomes: readonly unknown[]): void {
  const counts = new Map<string, { op: string; outcome: string; count: number; tokens: number }>();
  for (const [position, outcome] of outcomes.entries()) {
    const item = items[position];
    const op = isObject(item) && typeof item.op === 'string' ? item.op : 'record';
    const result = isObject(outcome) && typeof outcome.code === 'string' ? outcome.code : 'ok';
    const tokens = isObject(outcome) && typeof outcome.tokens_used === 'number' ? outcome.tokens_used : 0;
    const key = `${op} ${result}`;
    const count = counts.get(key) ?? { op, outcome: result, count: 0, tokens: 0 };
    count.count += 1;
    count.tokens += tokens;
    counts.set(key, count);
  }
  for (const { op, outcome, count, tokens } of counts.values()) {
    meteredItems.inc({ function: name, op, outcome }, count);
    if (tokens > 0) meteredTokens.inc({ function: name, op }, tokens);
  }
}

/** Reports what a chat request came to. */
export function reportChatUsage(provenance: string, inputTokens: number, outputTokens: number): void {
  chatTokens.inc({ direction: 'input', provenance }, inputTokens);
  chatTokens.inc({ direction: 'output', provenance }, outputTokens);
}

/** Measures how long upstream takes to begin its answer. */
export async function measureUpstream<T>(answer: Promise<T>): Promise<T> {
  const started = performance.now();
  try {
    const result = await answer;
    upstreamSeconds.observe({ outcome: 'ok' }, secondsSince(started));
    return result;
  } catch (error) {
    upstreamSeconds.observe({ outcome: 'failed' }, secondsSince(started));
    throw error;
  }
}

/** Reports a request that was refused because of a limit. @param limit the name of its policy */
export function reportLimited(limit: string): void {
  rateLimited.inc({ limit });
}

/** Reports an attempt to deliver something. */
export function reportDelivery(kind: 'mail' | 'webhook', outcome: string): void {
  deliveries.inc({ kind, outcome });
}

/** Measures a round of background work. @throws what the work does */
export async function measureJob<T>(job: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  try {
    const result = await work();
    jobSeconds.observe({ work: job, outcome: 'ok' }, secondsSince(started));
    jobSuccess.set({ work: job }, Date.now() / 1_000);
    return result;
  } catch (error) {
    jobSeconds.observe({ work: job, outcome: 'failed' }, secondsSince(started));
    throw error;
  }
}

/** Reports what maintenance says it did: the numbers among its members. */
export function reportMaintenance(done: unknown): void {
  if (typeof done !== 'object' || done === null) return;
  for (const [what, count] of Object.entries(done)) {
    if (typeof count === 'number') maintained.inc({ what }, count);
    else if (count === true && what === 'reset') maintained.inc({ what });
  }
}
