import type { Database } from '../../platform/database/client/database.js';
import { applyInvoice, applyOthers, applySubscription, fetchInvoice, isEnded, type Outcome } from './apply.js';
import type { Payments } from './payments.js';
import { applyReturn, findReturnedInvoices } from './returns.js';
import {
  parsePaidInvoice,
  parseRelatedSubscription,
  parseSubscription,
  parseSubscriptionRef,
} from './stripe-objects.js';
import type { WebhookEvent } from './webhook-event.js';

type Handler = (database: Database, payments: Payments, event: WebhookEvent) => Promise<Outcome | 'ignored'>;

/** Returns what SQL functions record of an event. */
const toNote = ({ id, type, created }: WebhookEvent) => ({ id, type, created });

/** Applies the state an event carries. */
const applySubscriptionEvent: Handler = async (database, payments, event) => {
  const { object } = event.data;
  const known = parseSubscription(object, payments) ?? parseSubscriptionRef(object);
  if (known === undefined) return 'ignored';
  const outcome = await applySubscription(database, payments, known, { event: toNote(event) });
  const hasEnded =
    event.type === 'customer.subscription.deleted' || ('status' in known && isEnded(String(known.status)));
  // Also for a duplicate, as the first delivery may have failed right here.
  if (hasEnded && outcome !== 'unknown_customer') await applyOthers(database, payments, known);
  return outcome;
};

/** Fetches and applies the state of the subscription an event is about. */
const refreshSubscription: Handler = async (database, payments, event) => {
  const known = parseRelatedSubscription(event.data.object);
  return known === undefined ? 'ignored' : applySubscription(database, payments, known, { event: toNote(event) });
};

/** Grants what the paid invoice of an event is worth. */
const applyPaidInvoice: Handler = async (database, payments, event) => {
  const { object } = event.data;
  const invoice = parsePaidInvoice(object, payments) ?? (object.id && (await fetchInvoice(payments, object.id)));
  return invoice ? (await applyInvoice(database, invoice, toNote(event))).outcome : 'ignored';
};

/** Takes tokens back, or gives them back, with the money an event is about. */
const applyReturnedMoney: Handler = async (database, payments, event) => {
  const [first, ...others] = await findReturnedInvoices(payments, event.data.object);
  if (first === undefined) return 'ignored';
  for (const invoice of others) await applyReturn(database, payments, invoice);
  return applyReturn(database, payments, first, toNote(event));
};

const HANDLERS: Readonly<Record<string, Handler>> = {
  'charge.refunded': applyReturnedMoney,
  'charge.dispute.created': applyReturnedMoney,
  'charge.dispute.updated': applyReturnedMoney,
  'charge.dispute.closed': applyReturnedMoney,
  'charge.dispute.funds_withdrawn': applyReturnedMoney,
  'charge.dispute.funds_reinstated': applyReturnedMoney,
  'checkout.session.completed': refreshSubscription,
  'customer.subscription.created': applySubscriptionEvent,
  'customer.subscription.updated': applySubscriptionEvent,
  'customer.subscription.deleted': applySubscriptionEvent,
  'customer.subscription.paused': applySubscriptionEvent,
  'customer.subscription.resumed': applySubscriptionEvent,
  'credit_note.created': applyReturnedMoney,
  'credit_note.updated': applyReturnedMoney,
  'credit_note.voided': applyReturnedMoney,
  'invoice.paid': applyPaidInvoice,
  'invoice.payment_failed': refreshSubscription,
  'refund.created': applyReturnedMoney,
  'refund.updated': applyReturnedMoney,
  'refund.failed': applyReturnedMoney,
};

/**
 * Applies an event, once however often it is delivered.
 * @returns the outcome; ignored for an event of another type, or about something other than a subscription
 * @throws {ApiError} SERVICE_UNAVAILABLE if something had to be fetched and Stripe cannot be reached
 */
export async function handleEvent(
  database: Database,
  payments: Payments,
  event: WebhookEvent,
): Promise<Outcome | 'ignored'> {
  const handler = Object.hasOwn(HANDLERS, event.type) ? HANDLERS[event.type] : undefined;
  return handler === undefined ? 'ignored' : handler(database, payments, event);
}
