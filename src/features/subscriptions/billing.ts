import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../../config/config.js';
import type { Caller } from '../../platform/database/client/caller.js';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { readStripeAccount, type StripeAccount } from './customer.js';
import { createPayments, type PaymentServices, type Payments } from './payments.js';
import { type Reconciled, reconcileWhenDue } from './reconcile.js';
import { callStripe, isMissing, type WriteOptions, writeOnce } from './stripe-calls.js';

/** Billing as the rest of the application uses it. */
export interface Billing {
  /** Stripe, for the routes of subscriptions; undefined if it is not set up. */
  readonly payments: Payments | undefined;
  /**
   * Cancels everything a person could be charged for, before their account is deleted. Needs no Stripe for people who
   * never paid.
   * @throws {ApiError} SERVICE_UNAVAILABLE while Stripe cannot be reached, PAYMENTS_DISABLED if its keys were removed
   *   while a subscription is running: the account stays, so that nobody goes on paying for one that is gone
   */
  readonly cancel: (caller: Caller) => Promise<void>;
  /**
   * Compares subscriptions and invoices with Stripe, unless a server has done so within the last hour.
   * @returns undefined if no comparison was due, or Stripe is not set up
   * @throws {ApiError} SERVICE_UNAVAILABLE
   */
  readonly reconcileWhenDue: (log: Pick<FastifyBaseLogger, 'warn'>) => Promise<Reconciled | undefined>;
}

async function deleteCustomer({ stripe }: Payments, { customer_id, subscription_id }: StripeAccount): Promise<void> {
  const ignoreMissing = (error: unknown) => {
    if (!isMissing(error)) throw error;
  };
  if (subscription_id !== null) {
    const cancel = (options: WriteOptions) => stripe.subscriptions.cancel(subscription_id, {}, options);
    await writeOnce(`end:${subscription_id}`, cancel).catch(ignoreMissing);
  }
  // Deleting the customer also ends what is not known here: an open checkout, or a subscription begun a moment ago.
  if (customer_id !== null) {
    const remove = (options: WriteOptions) => stripe.customers.del(customer_id, {}, options);
    await writeOnce(`delete:${customer_id}`, remove).catch(ignoreMissing);
  }
}

async function cancelBilling({ database, payments }: PaymentServices, caller: Caller): Promise<void> {
  const account = await readStripeAccount(database, caller);
  const { customer_id, subscription_id } = account;
  if (customer_id === null) return;
  if (payments !== undefined) await callStripe(() => deleteCustomer(payments, account));
  else if (subscription_id !== null) throw new ApiError('PAYMENTS_DISABLED');
  const customer = { p_caller: caller, p_customer_id: customer_id };
  await database.call('detach_stripe_customer', customer, AnyResult);
}

/** Builds billing over a database; Stripe is not called yet. */
export async function createBilling(database: Database, config: Config['stripe']): Promise<Billing> {
  const payments = await createPayments(config);
  return {
    payments,
    cancel: (caller) => cancelBilling({ database, payments }, caller),
    reconcileWhenDue: async (log) => payments && reconcileWhenDue(database, payments, log),
  };
}
