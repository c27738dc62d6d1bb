import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { percentile } from '../../bench/measure/statistics.js';

/** A request of the load. */
export interface LoadRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly token?: string;
  readonly body?: unknown;
}

/** What became of a request. */
export interface Result {
  /** When it was sent, in milliseconds from the begin of the load. */
  readonly at: number;
  /** How long until it was answered, or given up. */
  readonly ms: number;
  /** Status of the answer; undefined where nobody waited for it any more. */
  readonly status: number | undefined;
  /** Whether a refusal says when to ask again. */
  readonly saysWhen: boolean;
}

/** What a load came to. */
export interface LoadOutcome {
  readonly results: readonly Result[];
  /** Most requests at once. */
  readonly mostAtOnce: number;
}

/** How a load is sent. */
export interface OpenLoop {
  readonly url: string;
  /** Requests a second, whatever becomes of those before. */
  readonly rate: number;
  readonly seconds: number;
  /** How long a client waits for an answer before it closes the connection, in milliseconds. */
  readonly patienceMs: number;
  readonly next: (count: number) => LoadRequest;
}

const TICK_MS = 20;

/** Opens connections to a server: as many as requests are under way. */
export function openAgent(): Agent {
  return new Agent({ connections: null, pipelining: 1, headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: 60_000 });
}

/** Sends a request, and waits for its whole answer as long as there is patience. */
export async function sendOnce(
  agent: Agent,
  url: string,
  { method, path, token, body }: LoadRequest,
  patienceMs: number,
): Promise<Omit<Result, 'at'> & { readonly text: string }> {
  const begin = performance.now();
  const passed = () => performance.now() - begin;
  try {
    const answer = await request(`${url}${path}`, {
      dispatcher: agent,
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(patienceMs),
    });
    const text = await answer.body.text();
    return { ms: passed(), status: answer.statusCode, saysWhen: answer.headers['retry-after'] !== undefined, text };
  } catch {
    return { ms: passed(), status: undefined, saysWhen: false, text: '' };
  }
}

/** Sends so many requests a second, whether or not earlier ones were answered, and waits for the last of them. */
export async function runOpenLoop(load: OpenLoop): Promise<LoadOutcome> {
  const agent = openAgent();
  const begin = performance.now();
  const results: Result[] = [];
  const underWay = new Set<Promise<void>>();
  let mostAtOnce = 0;
  const total = load.rate * load.seconds;
  for (let sent = 0; sent < total; await delay(TICK_MS)) {
    const due = Math.min(total, Math.ceil(((performance.now() - begin) / 1_000) * load.rate));
    for (; sent < due; sent += 1) {
      const at = performance.now() - begin;
      const one = sendOnce(agent, load.url, load.next(sent), load.patienceMs).then(({ ms, status, saysWhen }) => {
        results.push({ at, ms, status, saysWhen });
        underWay.delete(one);
      });
      underWay.add(one);
    }
    mostAtOnce = Math.max(mostAtOnce, underWay.size);
  }
  await Promise.all(underWay);
  await agent.destroy();
  return { results, mostAtOnce };
}

/** Returns the percentile of times in milliseconds, rounded. */
export function percentileOf(times: readonly number[], share: number): number {
  return Math.round(percentile(Float64Array.from(times).sort(), share));
}
