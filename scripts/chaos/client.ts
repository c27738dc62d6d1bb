import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Journal } from './journal.js';
import type { Random } from './random.js';

/** A request to one of the servers. */
export interface Asked {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  readonly token?: string;
  readonly body?: unknown;
  /** Idempotency key. */
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that arrived whole. */
export interface Reply {
  readonly status: number;
  readonly text: string;
  /** The body, where it is JSON. */
  readonly json: unknown;
}

/** Sends requests over the bad network. */
export interface Client {
  /** Sends a request once; undefined where no whole answer arrived, so that nobody knows what became of it. */
  readonly once: (asked: Asked, server?: number) => Promise<Reply | undefined>;
  /**
   * Sends a request, which is safe to repeat, to any server until it has an answer that is none of an outage.
   * @throws {GivenUp}
   */
  readonly untilAnswered: (asked: Asked) => Promise<Reply>;
  readonly close: () => Promise<void>;
}

/** Nobody answered, although there was time enough. */
export class GivenUp extends Error {}

const ANSWER_TIMEOUT_MS = 15_000;
const PAUSE_MS = 100;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether an outage says when to ask again, or that it is of no use. */
function saysWhatToDo(headers: Readonly<Record<string, unknown>>): boolean {
  return headers['retry-after'] !== undefined || headers['x-should-retry'] === 'false';
}

/** What a client knows of its servers. */
export interface Circumstances {
  /** Returns the time (`Date.now()`) after which nobody is asked again. */
  readonly deadline: () => number;
  /** Returns whether servers may take good tokens and signatures for old, or for ones from the future. */
  readonly areClocksApart: () => boolean;
}

/** Whether an answer says that something is too old or too new. */
function isAboutTime({ status, text }: Reply): boolean {
  return status === 401 || /"(INVALID_SIGNATURE|TRACKER_TOKEN_INVALID)"/.test(text);
}

/** Where servers are found. */
export interface Entrances {
  /** Where clients ask, each time at another one. */
  readonly urls: readonly string[];
  /** Returns where one server in particular is asked. */
  readonly toServer: (server: number) => string;
}

/** Opens a client of several servers. */
export function openClient(
  { urls, toServer }: Entrances,
  journal: Journal,
  random: Random,
  { deadline, areClocksApart }: Circumstances,
): Client {
  const agent = new Agent({ connections: 128, headersTimeout: ANSWER_TIMEOUT_MS, bodyTimeout: ANSWER_TIMEOUT_MS });

  const once: Client['once'] = async ({ method, path, token, body, key, headers }, server) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    try {
      const answer = await request(`${server === undefined ? random.pick(urls) : toServer(server)}/api${path}`, {
        dispatcher: agent,
        method,
        headers: {
          ...(text !== undefined && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(key !== undefined && { 'idempotency-key': key }),
          ...headers,
        },
        ...(text !== undefined && { body: text }),
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      const received = await answer.body.text();
      if (answer.statusCode >= 500 && answer.headers['x-request-id'] === undefined) {
        // The proxy says so: a server went away in the middle, and nobody knows what it did.
        if (!saysWhatToDo(answer.headers)) journal.violate(`${method} ${path}: the proxy's ${answer.statusCode}`);
        journal.count('answered by the proxy');
        return undefined;
      }
      const reply = { status: answer.statusCode, text: received, json: parseJson(received) };
      if (isAboutTime(reply) && areClocksApart()) {
        journal.count('refused for a clock');
        return undefined;
      }
      if (reply.status === 503 && !saysWhatToDo(answer.headers)) {
        journal.violate(`${method} ${path}: 503 without Retry-After: ${received}`);
      } else if (reply.status >= 500 && reply.status !== 503) {
        journal.violate(`${method} ${path}: ${reply.status} ${received}`);
      }
      journal.count(reply.status >= 500 ? 'answered 503' : reply.status >= 400 ? 'refused' : 'acknowledged');
      return reply;
    } catch {
      journal.count('answer lost');
      return undefined;
    }
  };

  return {
    once,
    untilAnswered: async (asked) => {
      for (;;) {
        const reply = await once(asked);
        if (reply !== undefined && reply.status < 500) return reply;
        if (Date.now() > deadline()) throw new GivenUp(`${asked.method} ${asked.path} was never answered`);
        await delay(PAUSE_MS + random.below(PAUSE_MS));
      }
    },
    close: () => agent.destroy(),
  };
}
