import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** What this process measures of itself; each process has its own. */
export const registry = new Registry();

/** What was last read of the database; only whoever reads it tells it. */
export const databaseRegistry = new Registry();

const registers = [registry];
const SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export const requestSeconds = new Histogram({
  name: 'tokenledger_http_request_seconds',
  help: 'Time to answer a request, to the end of its answer, by the pattern of its route.',
  labelNames: ['method', 'route', 'status'] as const,
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
  registers,
});

export const callSeconds = new Histogram({
  name: 'tokenledger_database_call_seconds',
  help: 'Time of a call of a SQL function, waiting for a connection included; outcome is ok, refused, unavailable or failed.',
  labelNames: ['function', 'outcome'] as const,
  buckets: SECONDS,
  registers,
});

export const batchItems = new Histogram({
  name: 'tokenledger_batch_items',
  help: 'Items that shared a call of a set-based SQL function.',
  labelNames: ['function'] as const,
  buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
  registers,
});

export const batchWaitSeconds = new Histogram({
  name: 'tokenledger_batch_wait_seconds',
  help: 'How long the oldest item of a batch waited before it was sent.',
  labelNames: ['function'] as const,
  buckets: SECONDS,
  registers,
});

export const meteredItems = new Counter({
  name: 'tokenledger_metered_items_total',
  help: 'Items of metering: debits, checks, holds and settlements, by what became of them: ok, or the code of the refusal.',
  labelNames: ['function', 'op', 'outcome'] as const,
  registers,
});

export const meteredTokens = new Counter({
  name: 'tokenledger_metered_tokens_total',
  help: 'Tokens that were debited.',
  labelNames: ['function', 'op'] as const,
  registers,
});

export const chatTokens = new Counter({
  name: 'tokenledger_chat_tokens_total',
  help: 'Tokens of chat requests that were settled, by how they were counted.',
  labelNames: ['direction', 'provenance'] as const,
  registers,
});

export const upstreamSeconds = new Histogram({
  name: 'tokenledger_chat_upstream_seconds',
  help: 'Time until upstream begins to answer a chat request; outcome is ok or failed.',
  labelNames: ['outcome'] as const,
  buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
  registers,
});

export const rateLimited = new Counter({
  name: 'tokenledger_rate_limited_total',
  help: 'Requests that were refused because of a limit.',
  labelNames: ['limit'] as const,
  registers,
});

export const deliveries = new Counter({
  name: 'tokenledger_delivery_attempts_total',
  help: 'Attempts to deliver a mail or an event to a webhook, by how they ended.',
  labelNames: ['kind', 'outcome'] as const,
  registers,
});

export const jobSeconds = new Histogram({
  name: 'tokenledger_job_seconds',
  help: 'Time of a round of background work; outcome is ok or failed.',
  labelNames: ['work', 'outcome'] as const,
  buckets: [0.01, 0.1, 1, 10, 60, 600],
  registers,
});

export const jobSuccess = new Gauge({
  name: 'tokenledger_job_success_timestamp_seconds',
  help: 'When background work last succeeded.',
  labelNames: ['work'] as const,
  registers,
});

export const maintained = new Counter({
  name: 'tokenledger_maintained_total',
  help: 'What maintenance did: holds expired, generations given up for lost, months dropped, …',
  labelNames: ['what'] as const,
  registers,
});

let hasDefaults = false;

/** Has Node's own numbers measured, the event loop's lag among them, from the first time somebody asks. */
export function measureProcess(): void {
  if (hasDefaults) return;
  hasDefaults = true;
  collectDefaultMetrics({ register: registry });
}
