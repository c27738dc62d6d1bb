import { Type } from '@sinclair/typebox';
import type { Database } from '../../platform/database/client/database.js';
import { DatabaseError } from '../../platform/database/client/database-error.js';
import { ApiError } from '../../platform/errors.js';
import type { Payments } from './payments.js';
import { callStripe } from './stripe-calls.js';
import {
  type PaidInvoice,
  parsePaidInvoice,
  parseSubscription,
  type SubscriptionRef,
  type SubscriptionState,
} from './stripe-objects.js';
import type { WebhookEvent } from './webhook-event.js';

/** Most times a state is fetched again because another one was applied meanwhile. */
export const MAX_FETCHES = 5;

/** Answer of the SQL functions that apply something. */
export const OutcomeSchema = Type.Union([
  Type.Object({ outcome: Type.Literal('applied'), granted: Type.Optional(Type.Integer()) }),
  Type.Object({
    outcome: Type.Union([Type.Literal('kept'), Type.Literal('duplicate'), Type.Literal('unknown_customer')]),
  }),
  Type.Object({ outcome: Type.Literal('refetch'), version: Type.Integer() }),
]);

/** Result of applying something Stripe said: applied, kept (what is here is the same or newer), duplicate or unknown_customer. */
export type Outcome = 'applied' | 'kept' | 'duplicate' | 'unknown_customer';
/** An event as SQL functions record it. */
export type EventNote = Pick<WebhookEvent, 'id' | 'type' | 'created'>;

/** Fetches the state of a subscription. @throws {DatabaseError} for an object of another shape */
async function fetchState(payments: Payments, id: string): Promise<SubscriptionState> {
  const state = parseSubscription(await callStripe(() => payments.stripe.subscriptions.retrieve(id)), payments);
  if (state === undefined) throw DatabaseError.unexpected('unexpected subscription');
  return state;
}

/**
 * Applies the state of a subscription if it is newer than what is here, and fetches it if that cannot be told.
 *
 * @param known a state, or a reference to the subscription to have its state fetched
 * @param event recorded in the same transaction, so that it takes effect once
 * @param version the version here when the state was fetched
 * @throws {ApiError} SERVICE_UNAVAILABLE if it had to be fetched and Stripe cannot be reached
 */
export async function applySubscription(
  database: Database,
  payments: Payments,
  known: SubscriptionState | SubscriptionRef,
  { event, version }: { readonly event?: EventNote; readonly version?: number } = {},
): Promise<Outcome> {
  let state = known;
  let fetchedFor = version;
  for (let fetches = 0; fetches <= MAX_FETCHES; fetches += 1) {
    const change = {
      p_state: state,
      ...(event !== undefined && { p_event: event }),
      ...(fetchedFor !== undefined && { p_version: fetchedFor }),
    };
    const answer = await database.call('apply_subscription', change, OutcomeSchema);
    if (answer.outcome !== 'refetch') return answer.outcome;
    fetchedFor = answer.version;
    state = await fetchState(payments, known.subscription_id);
  }
  throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('a subscription changed with every fetch') });
}

/** Statuses of a subscription that is over. */
const ENDED: ReadonlySet<string> = new Set(['canceled', 'incomplete_expired']);

/** Tells whether a status is one of a subscription that is over at Stripe. */
export const isEnded = (status: string): boolean => ENDED.has(status);

/**
 * Applies the subscriptions a customer has beside one that has ended, as somebody who paid twice keeps the other one.
 * @throws {ApiError} as {@link callStripe}
 */
export async function applyOthers(
  database: Database,
  payments: Payments,
  { customer_id: customer, subscription_id }: SubscriptionRef,
): Promise<void> {
  const running = await callStripe(() => payments.stripe.subscriptions.list({ customer, limit: 100 }));
  for (const subscription of running.data) {
    const state = parseSubscription(subscription, payments);
    if (state !== undefined && state.subscription_id !== subscription_id)
      await applySubscription(database, payments, state);
  }
}

/** Fetches a paid invoice with all of its lines; undefined if it is not paid, or not of a subscription. */
export async function fetchInvoice(payments: Payments, id: string): Promise<PaidInvoice | undefined> {
  const { stripe } = payments;
  return callStripe(async () => {
    const invoice = await stripe.invoices.retrieve(id);
    if (!invoice.lines.has_more) return parsePaidInvoice(invoice, payments);
    const data = await stripe.invoices.listLineItems(id, { limit: 100 }).autoPagingToArray({ limit: 10_000 });
    return parsePaidInvoice({ ...invoice, lines: { data, has_more: false } }, payments);
  });
}

/** Grants the tokens a paid invoice is worth, once. */
export async function applyInvoice(
  database: Database,
  invoice: PaidInvoice,
  event?: EventNote,
): Promise<{ readonly outcome: Outcome; readonly granted: number }> {
  const payment = { p_invoice: invoice, ...(event !== undefined && { p_event: event }) };
  const answer = await database.call('apply_invoice', payment, OutcomeSchema);
  if (answer.outcome === 'refetch') throw DatabaseError.unexpected('unexpected outcome');
  return { outcome: answer.outcome, granted: answer.outcome === 'applied' ? (answer.granted ?? 0) : 0 };
}
