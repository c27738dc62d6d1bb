import { Type } from '@sinclair/typebox';
import type { Database } from '../../platform/database/client/database.js';
import { DatabaseError } from '../../platform/database/client/database-error.js';
import { ApiError } from '../../platform/errors.js';
import type { Payments } from './payments.js';
import { callStripe } from './stripe-errors.js';
import {
  type PaidInvoice,
  paidInvoiceOf,
  type SubscriptionRef,
  type SubscriptionState,
  stateOf,
} from './stripe-objects.js';
import type { WebhookEvent } from './webhook-event.js';

/** How often a state is fetched again because another one was applied meanwhile. */
const FETCHES = 5;

const OutcomeSchema = Type.Union([
  Type.Object({ outcome: Type.Literal('applied'), granted: Type.Optional(Type.Integer()) }),
  Type.Object({
    outcome: Type.Union([Type.Literal('kept'), Type.Literal('duplicate'), Type.Literal('unknown_customer')]),
  }),
  Type.Object({ outcome: Type.Literal('refetch'), version: Type.Integer() }),
]);

/** What became of something Stripe said: applied, kept (known or older), duplicate or unknown_customer. */
export type Outcome = 'applied' | 'kept' | 'duplicate' | 'unknown_customer';
/** What SQL functions keep of an event. */
type EventNote = Pick<WebhookEvent, 'id' | 'type' | 'created'>;

async function fetchState(payments: Payments, id: string): Promise<SubscriptionState> {
  const state = stateOf(await callStripe(() => payments.stripe.subscriptions.retrieve(id)), payments);
  if (state === undefined) throw DatabaseError.unexpected('unexpected subscription');
  return state;
}

/**
 * Applies what is known of a subscription where that is newer than what is here, and fetches it where that cannot be told.
 *
 * @param known a state, or only which subscription it is, to have it fetched
 * @param event noted in the same transaction, so that it takes effect once
 * @param version what was here when the state was fetched
 * @throws {ApiError} SERVICE_UNAVAILABLE where it had to be fetched and Stripe is out of reach
 */
export async function applySubscription(
  database: Database,
  payments: Payments,
  known: SubscriptionState | SubscriptionRef,
  { event, version }: { readonly event?: EventNote; readonly version?: number } = {},
): Promise<Outcome> {
  let state = known;
  let fetchedFor = version;
  for (let fetches = 0; fetches <= FETCHES; fetches += 1) {
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

/** Fetches a paid invoice with all of its lines; undefined for one that is not paid, or of no subscription. */
export async function fetchInvoice(payments: Payments, id: string): Promise<PaidInvoice | undefined> {
  const { stripe } = payments;
  return callStripe(async () => {
    const invoice = await stripe.invoices.retrieve(id);
    if (!invoice.lines.has_more) return paidInvoiceOf(invoice, payments);
    const data = await stripe.invoices.listLineItems(id, { limit: 100 }).autoPagingToArray({ limit: 10_000 });
    return paidInvoiceOf({ ...invoice, lines: { data, has_more: false } }, payments);
  });
}

/** Grants what a paid invoice is worth, once. */
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
