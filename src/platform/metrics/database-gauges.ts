import { type Static, Type } from '@sinclair/typebox';
import { Gauge } from 'prom-client';
import type { Database } from '../database/client/database.js';
import { databaseRegistry } from './registry.js';

/** For how long what the database said is told again, in milliseconds. */
const KEPT_MS = 5_000;
const TIMEOUT_MS = 2_000;

const Count = Type.Integer();
const Unknown = Type.Union([Type.Number(), Type.Null()]);
const StateSchema = Type.Object({
  mails_waiting: Count,
  mails_failing: Count,
  mails_oldest_seconds: Count,
  webhooks_waiting: Count,
  webhooks_given_up: Count,
  webhooks_oldest_seconds: Count,
  holds: Count,
  overdue_holds: Count,
  estimates_waiting: Count,
  ledger_checked_at: Unknown,
  ledger_check_seconds: Unknown,
  ledger_discrepancies: Unknown,
  pools: Type.Record(Type.String(), Type.Object({ allocated: Count, total: Unknown })),
});

const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
  new Gauge({ name: `tokenledger_${name}`, help, labelNames, registers: [databaseRegistry] });

const up = gauge('database_up', 'Whether the database answered when this was asked for.');
const waiting = gauge('queue_waiting', 'What waits in the database to be sent or corrected.', ['queue']);
const oldest = gauge('queue_oldest_seconds', 'How long the oldest of it has waited.', ['queue']);
const mailsFailing = gauge('mails_failing', 'Mails that wait and were tried more than once.');
const givenUp = gauge('webhooks_given_up', 'Events that were given up in the last 30 days.');
const holds = gauge('holds', 'Open holds; overdue ones should have ended more than five minutes ago.', ['state']);
const checkedAt = gauge('ledger_check_timestamp_seconds', 'When the books were last proved.');
const checkSeconds = gauge('ledger_check_seconds', 'How long that took.');
const discrepancies = gauge('ledger_discrepancies', 'Discrepancies that were found then.');
const pools = gauge('pool_tokens', 'Tokens of a pool: allocated, and total where it is limited.', ['pool', 'part']);

function show(state: Static<typeof StateSchema>): void {
  waiting.set({ queue: 'mails' }, state.mails_waiting);
  waiting.set({ queue: 'webhooks' }, state.webhooks_waiting);
  waiting.set({ queue: 'estimates' }, state.estimates_waiting);
  oldest.set({ queue: 'mails' }, state.mails_oldest_seconds);
  oldest.set({ queue: 'webhooks' }, state.webhooks_oldest_seconds);
  mailsFailing.set(state.mails_failing);
  givenUp.set(state.webhooks_given_up);
  holds.set({ state: 'open' }, state.holds);
  holds.set({ state: 'overdue' }, state.overdue_holds);
  checkedAt.set(state.ledger_checked_at ?? 0);
  checkSeconds.set(state.ledger_check_seconds ?? 0);
  discrepancies.set(state.ledger_discrepancies ?? 0);
  for (const [pool, { allocated, total }] of Object.entries(state.pools)) {
    pools.set({ pool, part: 'allocated' }, allocated);
    if (total === null) pools.remove({ pool, part: 'total' });
    else pools.set({ pool, part: 'total' }, total);
  }
}

/**
 * Builds what brings the gauges of the database up to date: at most once in five seconds, however many ask, and never
 * for longer than two seconds. Where the database does not answer, the gauges say so and keep what they had.
 */
export function createDatabaseGauges(database: Database): () => Promise<void> {
  let under: Promise<void> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  const read = async () => {
    try {
      show(await database.call('operating_state', {}, StateSchema, { timeoutMs: TIMEOUT_MS }));
      up.set(1);
    } catch {
      up.set(0);
    }
    readAt = performance.now();
    under = undefined;
  };
  return async () => {
    if (performance.now() - readAt < KEPT_MS) return;
    under ??= read();
    await under;
  };
}
