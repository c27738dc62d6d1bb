import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import { toSystemCode } from '../../../src/config/startup-error.js';

/** An answer of a server over HTTP. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

export interface Device {
  readonly id: string;
  readonly token: string;
}

/** Sends a request over HTTP; undefined where the connection broke before the answer. */
export async function send(
  url: string,
  path: string,
  request: { readonly method?: string; readonly body?: object; readonly token?: string; readonly key?: string } = {},
): Promise<Answer | undefined> {
  try {
    const response = await fetch(`${url}${path}`, {
      method: request.method ?? (request.body === undefined ? 'GET' : 'POST'),
      headers: {
        ...(request.body && { 'content-type': 'application/json' }),
        ...(request.token && { authorization: `Bearer ${request.token}` }),
        ...(request.key && { 'idempotency-key': request.key }),
      },
      ...(request.body && { body: JSON.stringify(request.body) }),
    });
    const body: Record<string, unknown> = JSON.parse(await response.text());
    return { status: response.status, headers: response.headers, body };
  } catch (error) {
    // Nothing was sent yet: on a busy machine a thousand connections at once take longer than `fetch` waits for one.
    if (error instanceof TypeError && toSystemCode(error.cause) === 'UND_ERR_CONNECT_TIMEOUT') {
      return send(url, path, request);
    }
    return undefined;
  }
}

/** Registers a device with a fingerprint of its own. */
export async function register(url: string, fingerprint: string = randomUUID()): Promise<Device> {
  const body = { device_name: 'Test', hardware_fingerprint: fingerprint };
  const answer = await send(url, '/api/devices/register', { body });
  return { id: String(answer?.body['device_id']), token: String(answer?.body['device_token']) };
}

/** Records one use of a device. */
export function logUse(url: string, device: Device, key?: string, model = 'gpt-5'): Promise<Answer | undefined> {
  const keyed = key === undefined ? {} : { key };
  return send(url, '/api/usage/log', { body: { model_type: model }, token: device.token, ...keyed });
}

/** Callers that record uses one after the other, each with a key of its own, until they are stopped. */
export interface Load {
  /** Keys sent, in whatever way it ended. */
  readonly sent: ReadonlySet<string>;
  /** Keys answered 200, with the event named in the answer. */
  readonly acknowledged: ReadonlyMap<string, unknown>;
  /** Answers other than 200. */
  readonly refused: readonly Answer[];
  /** What `/healthz` answered right after each of them. */
  readonly health: ReadonlySet<number | undefined>;
  /** Resolves when every caller has its last answer. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts callers against a server. A use that is refused is sent again with its key until it is recorded;
 * a caller whose connection breaks ends.
 */
export function startLoad(url: string, device: Device, callers = 20): Load {
  const sent = new Set<string>();
  const acknowledged = new Map<string, unknown>();
  const refused: Answer[] = [];
  const health = new Set<number | undefined>();
  let stopped = false;

  const record = async (key: string): Promise<boolean> => {
    sent.add(key);
    for (;;) {
      const answer = await logUse(url, device, key);
      if (answer === undefined) return false;
      if (answer.status === 200) {
        acknowledged.set(key, answer.body['event_id']);
        return true;
      }
      refused.push(answer);
      health.add((await send(url, '/healthz'))?.status);
      if (stopped) return false;
    }
  };
  const call = async () => {
    while (!stopped && (await record(randomUUID())));
  };
  const done = Promise.all(Array.from({ length: callers }, call));
  return {
    sent,
    acknowledged,
    refused,
    health,
    stop: async () => {
      stopped = true;
      await done;
    },
  };
}

type Sql = (text: string, values?: unknown[]) => Promise<Record<string, unknown>[]>;

/** Asserts that every use the load got a 200 for is in the database, under the same event. */
export async function assertNothingLost(t: Test, sql: Sql, load: Load): Promise<void> {
  const rows = await sql('select id::text from public.usage_events');
  const recorded = new Set(rows.map(({ id }) => id));
  const lost = [...load.acknowledged.values()].filter((event) => !recorded.has(event));
  t.strictSame(lost, [], 'every acknowledged event is there');
  t.ok(load.acknowledged.size > 0 && load.acknowledged.size <= recorded.size, 'and there was something to lose');
}

/** Asserts that the books add up, asked in SQL. */
export async function assertLedger(t: Test, sql: Sql): Promise<void> {
  const checks = await sql('select name, ok, discrepancies from public.verify_ledger()');
  t.strictSame(
    checks.filter(({ ok }) => ok !== true),
    [],
    'the ledger verifies',
  );
  t.equal(checks.length, 14, 'every check ran');
}
