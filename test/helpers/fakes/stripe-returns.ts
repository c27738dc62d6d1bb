import type { InvoiceObject } from './stripe-invoices.js';
import { nowSeconds, stripeId } from './stripe-objects.js';

/** The payment by which an invoice was paid. */
export const paymentOf = (invoice: Pick<InvoiceObject, 'id'>) => `pi_${invoice.id.slice(3)}`;

/** Builds a refund of an invoice's payment; it has succeeded by default. */
export function refundObject(invoice: InvoiceObject, amount: number, status = 'succeeded') {
  return {
    id: stripeId('re'),
    object: 'refund',
    amount,
    charge: `ch_${invoice.id.slice(3)}`,
    created: nowSeconds(),
    currency: 'usd',
    payment_intent: paymentOf(invoice),
    reason: null,
    status,
  };
}
export type RefundObject = ReturnType<typeof refundObject>;

/** Builds a dispute about an invoice's payment. */
export function disputeObject(invoice: InvoiceObject, amount: number, status = 'needs_response') {
  return {
    id: stripeId('du'),
    object: 'dispute',
    amount,
    charge: `ch_${invoice.id.slice(3)}`,
    created: nowSeconds(),
    currency: 'usd',
    payment_intent: paymentOf(invoice),
    reason: 'fraudulent',
    status,
  };
}
export type DisputeObject = ReturnType<typeof disputeObject>;

/** Builds a credit note of a paid invoice; what it does not refund goes to the customer's credit. */
export function creditNoteObject(invoice: InvoiceObject, total: number, refund?: RefundObject) {
  return {
    id: stripeId('cn'),
    object: 'credit_note',
    amount: total,
    created: nowSeconds(),
    currency: 'usd',
    customer: invoice.customer,
    invoice: invoice.id,
    refunds: refund === undefined ? [] : [{ amount_refunded: refund.amount, refund: refund.id, type: 'refund' }],
    status: 'issued',
    total,
    type: 'post_payment',
  };
}
export type CreditNoteObject = ReturnType<typeof creditNoteObject>;

/** Builds the charge of an invoice's payment, as events about refunds carry it. */
export function chargeObject(invoice: InvoiceObject, amount_refunded: number) {
  return {
    id: `ch_${invoice.id.slice(3)}`,
    object: 'charge',
    amount: invoice.amount_paid,
    amount_refunded,
    customer: invoice.customer,
    payment_intent: paymentOf(invoice),
    refunded: amount_refunded >= invoice.amount_paid,
    status: 'succeeded',
  };
}

/** Builds what connects an invoice with its payment. */
export function invoicePaymentObject(invoice: InvoiceObject) {
  return {
    id: `inpay_${invoice.id.slice(3)}`,
    object: 'invoice_payment',
    amount_paid: invoice.amount_paid,
    invoice: invoice.id,
    payment: { type: 'payment_intent', payment_intent: paymentOf(invoice) },
    status: 'paid',
  };
}
