import { type Static, Type } from '@sinclair/typebox';
import type { Caller } from '../../platform/database/client/caller.js';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import type { PaymentServices, Payments } from './payments.js';
import { callStripe, isMissing } from './stripe-errors.js';

const AttachStripeCustomerSchema = Type.String();

const AccountSchema = Type.Object({
  user_id: Type.String(),
  email: Type.String(),
  customer_id: Type.Union([Type.String(), Type.Null()]),
  /** Null where no subscription runs. */
  subscription_id: Type.Union([Type.String(), Type.Null()]),
  version: Type.Integer(),
});
/** Who a person is at Stripe. */
export type StripeAccount = Static<typeof AccountSchema>;

/**
 * Who the caller is at Stripe.
 * @throws {DatabaseError} INVALID_TOKEN
 */
export async function stripeAccount(database: Database, caller: Caller): Promise<StripeAccount> {
  return await database.call('get_stripe_account', { p_caller: caller }, AccountSchema);
}

async function createCustomer(
  database: Database,
  { stripe }: Payments,
  caller: Caller,
  { user_id, email, customer_id, version }: StripeAccount,
): Promise<string> {
  // One customer a person: of requests at once all get the same, and the version is another one after it was replaced.
  const idempotencyKey = `customer:${user_id}:${version}`;
  const customer = await stripe.customers.create({ email, metadata: { user_id } }, { idempotencyKey });
  const attached = {
    p_caller: caller,
    p_customer_id: customer.id,
    ...(customer_id !== null && { p_replaces: customer_id }),
  };
  return await database.call('attach_stripe_customer', attached, AttachStripeCustomerSchema);
}

/**
 * Does something with the caller's customer at Stripe, who is made where there is none, or where somebody deleted them there.
 */
export async function withCustomer<T>(
  database: Database,
  payments: Payments,
  caller: Caller,
  account: StripeAccount,
  act: (customerId: string) => Promise<T>,
): Promise<T> {
  return callStripe(async () => {
    if (account.customer_id === null) return act(await createCustomer(database, payments, caller, account));
    try {
      return await act(account.customer_id);
    } catch (error) {
      if (!isMissing(error, 'customer')) throw error;
      return act(await createCustomer(database, payments, caller, account));
    }
  });
}

async function deleteCustomer({ stripe }: Payments, { customer_id, subscription_id }: StripeAccount): Promise<void> {
  const goneIsFine = (error: unknown) => {
    if (!isMissing(error)) throw error;
  };
  if (subscription_id !== null) {
    const idempotencyKey = `end:${subscription_id}`;
    await stripe.subscriptions.cancel(subscription_id, {}, { idempotencyKey }).catch(goneIsFine);
  }
  // With the customer ends all else that could still be charged: a checkout that is open, a subscription not known here yet.
  if (customer_id !== null) {
    await stripe.customers.del(customer_id, {}, { idempotencyKey: `delete:${customer_id}` }).catch(goneIsFine);
  }
}

/**
 * Ends everything a person could be charged for, before their account is deleted. Whoever never paid needs no Stripe.
 * @throws {ApiError} SERVICE_UNAVAILABLE while Stripe cannot be reached, PAYMENTS_DISABLED where its keys were taken away while
 *   a subscription runs: the account stays, so that nobody goes on paying for one that is gone
 */
export async function cancelBilling({ database, payments }: PaymentServices, caller: Caller): Promise<void> {
  const account = await stripeAccount(database, caller);
  const { customer_id, subscription_id } = account;
  if (customer_id === null) return;
  if (payments !== undefined) await callStripe(() => deleteCustomer(payments, account));
  else if (subscription_id !== null) throw new ApiError('PAYMENTS_DISABLED');
  const customer = { p_caller: caller, p_customer_id: customer_id };
  await database.call('detach_stripe_customer', customer, AnyResult);
}
