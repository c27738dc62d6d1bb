import type { LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import type { TestUser } from './accounts.js';
import type { TestServer } from './http/test-server.js';

/** An event as contract 1's extension sends it. */
export interface SentUsage {
  readonly provider: string;
  readonly model: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens?: number;
  readonly timestamp: number;
  readonly url?: string;
  readonly event_id?: string;
}

/** Creates an event like contract 1's example, as of now; overrides replace its fields. */
export function createUsage(overrides: Partial<SentUsage> = {}): SentUsage {
  const { inputTokens = 42, outputTokens = 180 } = overrides;
  return {
    provider: 'chatgpt',
    model: 'estimated',
    inputTokens,
    outputTokens,
    totalTokens: inputTokens + outputTokens,
    timestamp: Date.now(),
    url: 'https://chatgpt.com/...',
    ...overrides,
  };
}

/** The verdict on one event. */
export interface Verdict {
  readonly id?: string;
  readonly recorded: boolean;
  readonly duplicate?: boolean;
  readonly code?: string;
  readonly error?: string;
}

/** The answer to a batch. */
export interface BatchAnswer {
  readonly recorded: number;
  readonly duplicates: number;
  readonly refused: number;
  readonly results: readonly Verdict[];
}

/** Records events in batches of at most 1,000 and asserts that each was new; returns their ids. */
export async function recordAll(t: Test, user: TestUser, events: readonly SentUsage[]): Promise<string[]> {
  const ids: string[] = [];
  for (let at = 0; at < events.length; at += 1_000) {
    const slice = events.slice(at, at + 1_000);
    const answer = (await user.as('POST', '/api/usage', { events: slice })).json<BatchAnswer>();
    t.match(answer, { recorded: slice.length, duplicates: 0, refused: 0 });
    ids.push(...answer.results.map(({ id }) => id ?? ''));
  }
  return ids;
}

/** Returns the id a recorded event was given. */
export function readId(response: LightMyRequestResponse): string {
  return response.json<{ id: string }>().id;
}

/** Counts the usage events of one account, or of all. */
export async function countEvents(server: TestServer, userId?: string): Promise<number> {
  const [row] = await server.database.sql<{ events: number }>(
    'select count(*)::integer as events from usage_events where $1::uuid is null or user_id = $1',
    [userId ?? null],
  );
  return row?.events ?? 0;
}

/** Links a device to a person, or to nobody. */
export async function linkDevice(server: TestServer, deviceId: string, userId: string | null): Promise<void> {
  await server.database.sql('update devices set user_id = $2 where id = $1', [deviceId, userId]);
}

/** An event stored without going through the API. */
export interface StoredUsage {
  readonly subject: string;
  readonly user?: string;
  readonly device?: string;
  readonly source: string;
  readonly provider: string;
  readonly model: string;
  readonly prompts?: number;
  readonly input?: number;
  readonly output?: number;
  readonly url?: string;
  readonly at: number;
}

/** Stores events as the metering functions do, at any time and from any source; none debits anything. */
export async function storeUsage(server: TestServer, events: readonly StoredUsage[]): Promise<void> {
  await server.database.sql(
    `select private.record_usage_events(array_agg(row(
              gen_random_uuid(), e.subject, e."user", e.device, e.source, e.provider, e.model, coalesce(e.prompts, 1),
              coalesce(e.input, 0), coalesce(e.output, 0), coalesce(e.input, 0) + coalesce(e.output, 0), 0,
              'client_reported', 1, e.url, timestamptz 'epoch' + e.at * interval '1 millisecond', now(), null
            )::public.usage_events))
       from jsonb_to_recordset($1) as e(
         subject uuid, "user" uuid, device uuid, source text, provider text, model text, prompts integer, input bigint,
         output bigint, url text, at bigint
       )`,
    [JSON.stringify(events)],
  );
}
