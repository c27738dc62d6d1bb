import { type Static, Type } from '@sinclair/typebox';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Payments } from './payments.js';
import { callStripe, isMissing, writeOnce } from './stripe-calls.js';

const CustomerIdSchema = Type.String();

const AccountSchema = Type.Object({
  user_id: Type.String(),
  email: Type.String(),
  customer_id: Type.Union([Type.String(), Type.Null()]),
  /** Null if no subscription is running. */
  subscription_id: Type.Union([Type.String(), Type.Null()]),
  version: Type.Integer(),
});
/** A person as Stripe knows them. */
export type StripeAccount = Static<typeof AccountSchema>;

/**
 * Reads who the caller is at Stripe.
 * @throws {DatabaseError} INVALID_TOKEN
 */
export async function readStripeAccount(database: Database, caller: Caller): Promise<StripeAccount> {
  return database.call('get_stripe_account', { p_caller: caller }, AccountSchema);
}

/** Creates the caller's customer at Stripe and attaches it to their account; returns the id of the one attached. */
async function createCustomer(
  database: Database,
  { stripe }: Payments,
  caller: Caller,
  { user_id, email, customer_id, version }: StripeAccount,
): Promise<string> {
  // One customer a person: concurrent requests share this key, and the version differs once a customer was replaced.
  const customer = await writeOnce(`customer:${user_id}:${version}`, (options) =>
    stripe.customers.create({ email, metadata: { user_id } }, options),
  );
  const attached = {
    p_caller: caller,
    p_customer_id: customer.id,
    ...(customer_id !== null && { p_replaces: customer_id }),
  };
  return database.call('attach_stripe_customer', attached, CustomerIdSchema);
}

/** Acts on the caller's customer at Stripe; creates the customer first if there is none, or if it was deleted there. */
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
