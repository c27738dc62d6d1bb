import { Type } from '@sinclair/typebox';
import type { Database } from '../../platform/database/client/database.js';
import { applyInvoice, applySubscription, fetchInvoice } from './apply.js';
import type { Payments } from './payments.js';
import { callStripe, isMissing } from './stripe-errors.js';
import { paidInvoiceOf, type SubscriptionState, stateOf } from './stripe-objects.js';

const ListRunningSubscriptionsSchema = Type.Array(Type.String());
const BeginStripeSyncSchema = Type.Boolean();

const PAGE = 100;
const DAY_SECONDS = 86_400;
/** How often servers compare by themselves, and how far back: longer than Stripe tries to deliver an event. */
const EVERY_MINUTES = 60;
const RECENT_DAYS = 7;

/** What a comparison looked at and mended. */
export interface Reconciled {
  readonly subscriptions: number;
  /** Subscriptions that were not here, or otherwise. */
  readonly changed: number;
  readonly invoices: number;
  /** Invoices nobody had told of. */
  readonly granted: number;
}

/** The subscriptions that run as far as is known here; those Stripe has ended are in no list of its own. */
async function* runningHere(database: Database): AsyncGenerator<string> {
  for (let after = ''; ; ) {
    const page = await database.call(
      'list_running_subscriptions',
      { p_limit: PAGE, p_after: after },
      ListRunningSubscriptionsSchema,
    );
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = last;
  }
}

/** Nothing where Stripe does not know the subscription: that is a wrong key sooner than an end. */
async function stateAtStripe(payments: Payments, id: string): Promise<SubscriptionState | undefined> {
  try {
    return stateOf(await payments.stripe.subscriptions.retrieve(id), payments);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function reconcileSubscriptions(database: Database, payments: Payments): Promise<[number, number]> {
  const seen = new Set<string>();
  let changed = 0;
  for await (const subscription of payments.stripe.subscriptions.list({ limit: PAGE })) {
    seen.add(subscription.id);
    const state = stateOf(subscription, payments);
    if (state !== undefined && (await applySubscription(database, payments, state)) === 'applied') changed += 1;
  }
  for await (const id of runningHere(database)) {
    if (seen.has(id)) continue;
    seen.add(id);
    const state = await stateAtStripe(payments, id);
    if (state !== undefined && (await applySubscription(database, payments, state)) === 'applied') changed += 1;
  }
  return [seen.size, changed];
}

async function reconcileInvoices(database: Database, payments: Payments, days: number): Promise<[number, number]> {
  let invoices = 0;
  let granted = 0;
  const since = Math.floor(Date.now() / 1000) - days * DAY_SECONDS;
  for await (const listed of payments.stripe.invoices.list({ status: 'paid', created: { gte: since }, limit: PAGE })) {
    const invoice = listed.lines.has_more ? await fetchInvoice(payments, listed.id) : paidInvoiceOf(listed, payments);
    if (invoice === undefined) continue;
    invoices += 1;
    if ((await applyInvoice(database, invoice)).outcome === 'applied') granted += 1;
  }
  return [invoices, granted];
}

/**
 * Makes up for webhooks that were lost: compares every running subscription, and every invoice paid lately, with what is here.
 * Doing so again changes nothing.
 *
 * @param days how old invoices may be
 * @throws {ApiError} SERVICE_UNAVAILABLE
 */
export async function reconcile(database: Database, payments: Payments, days: number): Promise<Reconciled> {
  return callStripe(async () => {
    // Grants first: what a period is worth does not depend on whether it still runs.
    const [invoices, granted] = await reconcileInvoices(database, payments, days);
    const [subscriptions, changed] = await reconcileSubscriptions(database, payments);
    return { subscriptions, changed, invoices, granted };
  });
}

/** Compares where no server has for an hour; answers undefined where one has. */
export async function reconcileWhenDue(database: Database, payments: Payments): Promise<Reconciled | undefined> {
  const due = await database.call('begin_stripe_sync', { p_minutes: EVERY_MINUTES }, BeginStripeSyncSchema);
  return due ? reconcile(database, payments, RECENT_DAYS) : undefined;
}
