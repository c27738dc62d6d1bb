import type { Database } from '../../platform/database/client/database.js';
import { applyInvoice, applySubscription, fetchInvoice, type Outcome } from './apply.js';
import type { Payments } from './payments.js';
import { paidInvoiceOf, pointerOf, stateOf, subjectOf } from './stripe-objects.js';
import type { WebhookEvent } from './webhook-event.js';

type Handler = (database: Database, payments: Payments, event: WebhookEvent) => Promise<Outcome | 'ignored'>;

const noteOf = ({ id, type, created }: WebhookEvent) => ({ id, type, created });

/** The event brings the state itself. */
const subscriptionChanged: Handler = async (database, payments, event) => {
  const { object } = event.data;
  const known = stateOf(object, payments) ?? pointerOf(object);
  return known === undefined ? 'ignored' : applySubscription(database, payments, known, { event: noteOf(event) });
};

/** The event only says that a subscription has another state now. */
const somethingChanged: Handler = async (database, payments, event) => {
  const known = subjectOf(event.data.object);
  return known === undefined ? 'ignored' : applySubscription(database, payments, known, { event: noteOf(event) });
};

const invoicePaid: Handler = async (database, payments, event) => {
  const { object } = event.data;
  const invoice = paidInvoiceOf(object, payments) ?? (object.id && (await fetchInvoice(payments, object.id)));
  return invoice ? (await applyInvoice(database, invoice, noteOf(event))).outcome : 'ignored';
};

const HANDLERS: Readonly<Record<string, Handler>> = {
  'checkout.session.completed': somethingChanged,
  'customer.subscription.created': subscriptionChanged,
  'customer.subscription.updated': subscriptionChanged,
  'customer.subscription.deleted': subscriptionChanged,
  'customer.subscription.paused': subscriptionChanged,
  'customer.subscription.resumed': subscriptionChanged,
  'invoice.paid': invoicePaid,
  'invoice.payment_failed': somethingChanged,
};

/**
 * Lets an event take effect, once however often it is delivered.
 * @returns what became of it; ignored for one of another type, or about something else than a subscription
 * @throws {ApiError} SERVICE_UNAVAILABLE where something had to be fetched and Stripe is out of reach
 */
export async function handleEvent(
  database: Database,
  payments: Payments,
  event: WebhookEvent,
): Promise<Outcome | 'ignored'> {
  const handler = Object.hasOwn(HANDLERS, event.type) ? HANDLERS[event.type] : undefined;
  return handler === undefined ? 'ignored' : handler(database, payments, event);
}
