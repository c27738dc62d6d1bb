import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type Stripe from 'stripe';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { type EventNote, MAX_FETCHES, type Outcome, OutcomeSchema } from './apply.js';
import type { Payments } from './payments.js';
import { callStripe } from './stripe-calls.js';

/** States of a dispute in which its money is ours: it was won, or is only an inquiry. */
const KEPT_DISPUTES: ReadonlySet<string> = new Set([
  'won',
  'prevented',
  'warning_needs_response',
  'warning_under_review',
  'warning_closed',
]);
/** States of a refund in which its money is still ours. */
const KEPT_REFUNDS: ReadonlySet<string> = new Set(['failed', 'canceled', 'requires_action']);

const VersionSchema = Type.Integer();
const ReferenceSchema = Type.Union([Type.String(), Type.Object({ id: Type.String() })]);
/** A charge, a refund or a dispute names the payment; a credit note its invoice. */
const PaymentRefSchema = Type.Object({ payment_intent: ReferenceSchema });
const InvoiceRefSchema = Type.Object({ object: Type.Literal('credit_note'), invoice: ReferenceSchema });
const paymentRefs = TypeCompiler.Compile(PaymentRefSchema);
const invoiceRefs = TypeCompiler.Compile(InvoiceRefSchema);

const toId = (reference: Static<typeof ReferenceSchema>) => (typeof reference === 'string' ? reference : reference.id);

/** Money of an invoice that went back, in the smallest unit of its currency, as SQL functions take it (`p_return`). */
type ReturnedMoney = {
  readonly invoice_id: string;
  readonly customer_id: string;
  readonly returned: number;
  readonly total: number;
};

/** Adds up what of a payment was refunded or is disputed. */
async function sumPaymentReturns({ stripe }: Payments, payment_intent: string): Promise<number> {
  let sum = 0;
  for await (const { amount, status } of stripe.refunds.list({ payment_intent, limit: 100 }))
    if (!KEPT_REFUNDS.has(status ?? '')) sum += amount;
  for await (const { amount, status } of stripe.disputes.list({ payment_intent, limit: 100 }))
    if (!KEPT_DISPUTES.has(status)) sum += amount;
  return sum;
}

/** Returns what credit notes gave back of an invoice other than by the refunds that are counted with its payments. */
async function sumCredited({ stripe }: Payments, invoice: Stripe.Invoice): Promise<number> {
  const before = invoice.pre_payment_credit_notes_amount ?? 0;
  const after = invoice.post_payment_credit_notes_amount ?? 0;
  if (after === 0) return before;
  let refunded = 0;
  for await (const note of stripe.creditNotes.list({ invoice: invoice.id, limit: 100 }))
    if (note.status === 'issued') for (const { amount_refunded } of note.refunds) refunded += amount_refunded;
  return before + Math.max(after - refunded, 0);
}

/** Fetches what of an invoice's money has gone back; undefined for one without a customer. */
async function fetchReturned(payments: Payments, id: string): Promise<ReturnedMoney | undefined> {
  return callStripe(async () => {
    const { stripe } = payments;
    const invoice = await stripe.invoices.retrieve(id);
    const { customer, total } = invoice;
    if (customer === null) return undefined;
    let returned = await sumCredited(payments, invoice);
    for await (const { payment } of stripe.invoicePayments.list({ invoice: id, status: 'paid', limit: 100 }))
      if (payment.payment_intent !== undefined)
        returned += await sumPaymentReturns(payments, toId(payment.payment_intent));
    const most = Math.max(total, 0);
    return { invoice_id: id, customer_id: toId(customer), returned: Math.min(returned, most), total: most };
  });
}

/**
 * Finds the invoices a charge, refund, dispute or credit note is about.
 * @throws {ApiError} as {@link callStripe}
 */
export async function findReturnedInvoices(payments: Payments, object: unknown): Promise<string[]> {
  if (invoiceRefs.Check(object)) return [toId(object.invoice)];
  if (!paymentRefs.Check(object)) return [];
  const payment = { type: 'payment_intent', payment_intent: toId(object.payment_intent) } as const;
  const list = () => payments.stripe.invoicePayments.list({ payment, limit: 100 }).autoPagingToArray({ limit: 1_000 });
  return [...new Set((await callStripe(list)).map(({ invoice }) => toId(invoice)))];
}

/**
 * Applies what of an invoice's money has gone back, whatever order refunds, disputes and credit notes are heard of in:
 * what counts is what Stripe has, fetched anew.
 * @throws {ApiError} as {@link callStripe}
 */
export async function applyReturn(
  database: Database,
  payments: Payments,
  invoiceId: string,
  event?: EventNote,
): Promise<Outcome | 'ignored'> {
  let version = await database.call('get_return_version', { p_invoice_id: invoiceId }, VersionSchema);
  for (let fetches = 0; fetches <= MAX_FETCHES; fetches += 1) {
    const money = await fetchReturned(payments, invoiceId);
    if (money === undefined) return 'ignored';
    const change = {
      p_return: money,
      p_forgives: payments.forgivesReturns,
      p_version: version,
      ...(event !== undefined && { p_event: event }),
    };
    const answer = await database.call('apply_return', change, OutcomeSchema);
    if (answer.outcome !== 'refetch') return answer.outcome;
    version = answer.version;
  }
  throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('returned money changed with every fetch') });
}

/**
 * Compares refunds, disputes and credit notes made since a time, in epoch seconds, with what is here.
 * @returns how many invoices were changed
 */
export async function reconcileReturns(database: Database, payments: Payments, since: number): Promise<number> {
  const { stripe } = payments;
  const recent = { created: { gte: since }, limit: 100 };
  const invoices = new Set<string>();
  const seen = new Set<string>();
  // One after the other: a request that fails while nobody waits for it yet would end the process.
  const lists = [
    () => stripe.refunds.list(recent),
    () => stripe.disputes.list(recent),
    () => stripe.creditNotes.list(recent),
  ];
  for (const list of lists)
    for await (const object of list()) {
      const payment = paymentRefs.Check(object) ? toId(object.payment_intent) : object.id;
      if (seen.has(payment)) continue;
      seen.add(payment);
      for (const id of await findReturnedInvoices(payments, object)) invoices.add(id);
    }
  let changed = 0;
  for (const id of invoices) if ((await applyReturn(database, payments, id)) === 'applied') changed += 1;
  return changed;
}
