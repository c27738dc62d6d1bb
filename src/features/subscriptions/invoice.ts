import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import { ApiError } from '../../platform/errors.js';
import { type PaymentServices, requirePayments } from './payments.js';
import type { InvoiceSchema } from './schemas.js';
import { callStripe, isMissing } from './stripe-calls.js';

const OwnInvoiceSchema = Type.Object({ invoice_id: Type.Union([Type.String(), Type.Null()]) });

/** What reading an invoice needs. */
export interface InvoiceServices extends PaymentServices {
  readonly callerDatabase: CallerDatabase;
}

/**
 * Returns where a person can look at the invoice of one of their payments. Stripe is asked each time, as its addresses end.
 * @throws {ApiError} INVOICE_NOT_FOUND also where Stripe shows none, PAYMENTS_DISABLED
 */
export async function findInvoice(
  services: InvoiceServices,
  request: FastifyRequest,
  paymentId: string,
): Promise<Static<typeof InvoiceSchema>> {
  const { stripe } = requirePayments(services);
  const caller = getUser(request);
  const payment = { p_payment_id: paymentId };
  const { invoice_id } = await services.callerDatabase.call(caller, 'my_invoice', payment, OwnInvoiceSchema);
  if (invoice_id === null) throw new ApiError('INVOICE_NOT_FOUND');
  const read = () =>
    stripe.invoices.retrieve(invoice_id).catch((error: unknown) => {
      throw isMissing(error) ? new ApiError('INVOICE_NOT_FOUND') : error;
    });
  const { number, hosted_invoice_url: invoice_url, invoice_pdf: pdf_url } = await callStripe(read);
  if (typeof invoice_url !== 'string') throw new ApiError('INVOICE_NOT_FOUND');
  return { number: number ?? null, invoice_url, pdf_url: pdf_url ?? null };
}
