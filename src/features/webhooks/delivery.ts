import { type Static, Type } from '@sinclair/typebox';
import type { FastifyBaseLogger } from 'fastify';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { createDeliveryRounds, type Delivery } from '../../platform/delivery-rounds.js';
import { reportDelivery } from '../../platform/metrics/report.js';
import type { Sealing } from '../../platform/sealing.js';
import type { Attempt, WebhookSender } from './send.js';
import { signWebhook } from './signature.js';

const CONCURRENT_DELIVERIES = 10;
const STOP_LIMIT_MS = 5_000;

const ClaimedDeliverySchema = Type.Object({
  id: Type.Integer(),
  event_id: Type.String(),
  type: Type.String(),
  occurred_at: Type.String(),
  data: Type.Unknown(),
  attempt: Type.Integer(),
  endpoint_id: Type.String(),
  url: Type.String(),
  sealed_secret: Type.String(),
});
type ClaimedDelivery = Static<typeof ClaimedDeliverySchema>;
const ClaimSchema = Type.Object({
  deliveries: Type.Array(ClaimedDeliverySchema),
  next_seconds: Type.Union([Type.Integer(), Type.Null()]),
});

/** Dependencies of delivering webhooks. */
export interface WebhookDeliveryOptions {
  readonly database: Database;
  readonly sealing: Sealing;
  readonly sender: WebhookSender;
  readonly log: FastifyBaseLogger;
}

/** Signs and sends one event. */
async function send(
  { sealing, sender }: WebhookDeliveryOptions,
  { event_id, type, occurred_at, data, url, sealed_secret }: ClaimedDelivery,
  stopping: AbortSignal,
): Promise<Attempt> {
  const body = JSON.stringify({ type, timestamp: occurred_at, data });
  let secret: string;
  try {
    secret = sealing.open(sealed_secret);
  } catch {
    return { outcome: 'failed', failure: 'SECRET_SEALED' };
  }
  return sender.send(url, signWebhook(secret, event_id, Date.now(), body), body, stopping);
}

/** Makes one attempt and tells the database how it ended. */
async function attempt(options: WebhookDeliveryOptions, delivery: ClaimedDelivery, stopping: AbortSignal) {
  const { database, log } = options;
  const { id: p_id, attempt: p_attempt } = delivery;
  let ended: Attempt;
  try {
    ended = await send(options, delivery, stopping);
  } catch {
    // Only stopping ends an attempt that has no outcome.
    await database.call('settle_webhook_delivery', { p_id, p_attempt, p_outcome: 'released' }, AnyResult);
    return;
  }
  reportDelivery('webhook', ended.outcome);
  const { outcome: p_outcome, status, failure, waitSeconds } = ended;
  if (p_outcome !== 'delivered') {
    const { endpoint_id: webhook, type, event_id: event } = delivery;
    log.warn({ webhook, event, type, attempt: p_attempt, status, failure }, 'webhook not delivered');
  }
  const outcome = {
    p_id,
    p_attempt,
    p_outcome,
    ...(status !== undefined && { p_status: status }),
    ...(failure !== undefined && { p_failure: failure }),
    ...(waitSeconds !== undefined && { p_wait_seconds: waitSeconds }),
  };
  await database.call('settle_webhook_delivery', outcome, AnyResult);
}

/** Starts delivering events when it is woken. Any number of servers may deliver from one database. */
export function createWebhookDelivery(options: WebhookDeliveryOptions): Delivery {
  const { database, log, sender } = options;
  const rounds = createDeliveryRounds<ClaimedDelivery>({
    name: 'webhook',
    concurrency: CONCURRENT_DELIVERIES,
    claim: async (p_limit) => {
      const { deliveries, next_seconds } = await database.call('claim_webhook_deliveries', { p_limit }, ClaimSchema);
      return { items: deliveries, nextSeconds: next_seconds };
    },
    attempt: (delivery, stopping) => attempt(options, delivery, stopping),
    log,
    stopLimitMs: STOP_LIMIT_MS,
  });
  return {
    wake: rounds.wake,
    stop: async () => {
      await rounds.stop();
      await sender.close();
    },
  };
}
