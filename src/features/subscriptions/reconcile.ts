import { Type } from '@sinclair/typebox';
import type { FastifyBaseLogger } from 'fastify';
import type { Database } from '../../platform/database/client/database.js';
import { applyInvoice, applySubscription, fetchInvoice, type Outcome } from './apply.js';
import { type Payments, UNKNOWN_PRICES } from './payments.js';
import { reconcileReturns } from './returns.js';
import { callStripe, isMissing } from './stripe-calls.js';
import { findUnknownPrices, parsePaidInvoice, parseSubscription, type SubscriptionState } from './stripe-objects.js';

const SubscriptionIdsSchema = Type.Array(Type.String());
const IsDueSchema = Type.Boolean();

const PAGE_SIZE = 100;
const DAY_SECONDS = 86_400;
/** How often servers compare on their own, and how far back: longer than Stripe keeps trying to deliver an event. */
const EVERY_MINUTES = 60;
const RECENT_DAYS = 7;
/** How soon a comparison that failed is tried again. */
const RETRY_MINUTES = 5;

/** Counts of what a comparison looked at and corrected. */
export interface Reconciled {
  readonly subscriptions: number;
  /** Subscriptions that were missing here, or different. */
  readonly changed: number;
  readonly invoices: number;
  /** Invoices whose events had not arrived. */
  readonly granted: number;
  /** Invoices of which money had gone back, or come back. */
  readonly returned: number;
  /** Prices that people of ours pay and that no tier has: they get nothing for it. */
  readonly unknownPrices: readonly string[];
}

/** Stripe beside what is here, and the prices that were found on the way which no tier has. */
interface Comparison {
  readonly database: Database;
  readonly payments: Payments;
  readonly unknownPrices: Set<string>;
}

/** Keeps the prices of something of ours that no tier has. */
function notePrices({ payments, unknownPrices }: Comparison, object: unknown, outcome: Outcome): void {
  if (outcome === 'unknown_customer') return;
  for (const price of findUnknownPrices(object, payments)) unknownPrices.add(price);
}

/** Lists the subscriptions that are running according to this database, as Stripe's own list leaves out ended ones. */
async function* listRunning(database: Database): AsyncGenerator<string> {
  for (let after = ''; ; ) {
    const page = await database.call(
      'list_running_subscriptions',
      { p_limit: PAGE_SIZE, p_after: after },
      SubscriptionIdsSchema,
    );
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_SIZE) return;
    after = last;
  }
}

/** Fetches a subscription; undefined if Stripe does not know it, which points to a wrong key rather than to its end. */
async function findAtStripe(payments: Payments, id: string): Promise<SubscriptionState | undefined> {
  try {
    return parseSubscription(await payments.stripe.subscriptions.retrieve(id), payments);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function reconcileSubscriptions(comparison: Comparison): Promise<[number, number]> {
  const { database, payments } = comparison;
  const seen = new Set<string>();
  let changed = 0;
  for await (const subscription of payments.stripe.subscriptions.list({ limit: PAGE_SIZE })) {
    seen.add(subscription.id);
    const state = parseSubscription(subscription, payments);
    if (state === undefined) continue;
    const outcome = await applySubscription(database, payments, state);
    notePrices(comparison, subscription, outcome);
    if (outcome === 'applied') changed += 1;
  }
  for await (const id of listRunning(database)) {
    if (seen.has(id)) continue;
    seen.add(id);
    const state = await findAtStripe(payments, id);
    if (state !== undefined && (await applySubscription(database, payments, state)) === 'applied') changed += 1;
  }
  return [seen.size, changed];
}

async function reconcileInvoices(comparison: Comparison, since: number): Promise<[number, number]> {
  const { database, payments } = comparison;
  let invoices = 0;
  let granted = 0;
  for await (const listed of payments.stripe.invoices.list({
    status: 'paid',
    created: { gte: since },
    limit: PAGE_SIZE,
  })) {
    const invoice = listed.lines.has_more
      ? await fetchInvoice(payments, listed.id)
      : parsePaidInvoice(listed, payments);
    if (invoice === undefined) continue;
    invoices += 1;
    const { outcome } = await applyInvoice(database, invoice);
    notePrices(comparison, listed, outcome);
    if (outcome === 'applied') granted += 1;
  }
  return [invoices, granted];
}

/**
 * Makes up for lost webhooks: compares every running subscription, and every recently paid invoice, with what is here.
 * Safe to repeat.
 *
 * @param days how far back to look for invoices, refunds, disputes and credit notes
 * @throws {ApiError} SERVICE_UNAVAILABLE
 */
export async function reconcile(database: Database, payments: Payments, days: number): Promise<Reconciled> {
  const since = Math.floor(Date.now() / 1000) - days * DAY_SECONDS;
  const comparison: Comparison = { database, payments, unknownPrices: new Set() };
  return callStripe(async () => {
    // Grants come first, as the worth of a paid period does not depend on whether the subscription is still running.
    const [invoices, granted] = await reconcileInvoices(comparison, since);
    const [subscriptions, changed] = await reconcileSubscriptions(comparison);
    const returned = await reconcileReturns(database, payments, since);
    return { subscriptions, changed, invoices, granted, returned, unknownPrices: [...comparison.unknownPrices] };
  });
}

/**
 * Compares unless a server has done so within the last hour, or has failed to within the last minutes.
 * @param log is told of prices that no tier has
 * @returns undefined if one has
 * @throws {ApiError} as {@link callStripe}
 */
export async function reconcileWhenDue(
  database: Database,
  payments: Payments,
  log: Pick<FastifyBaseLogger, 'warn'>,
): Promise<Reconciled | undefined> {
  const isDue = await database.call('begin_stripe_sync', { p_minutes: EVERY_MINUTES }, IsDueSchema);
  if (!isDue) return undefined;
  try {
    const reconciled = await reconcile(database, payments, RECENT_DAYS);
    const { unknownPrices: prices } = reconciled;
    if (prices.length > 0) log.warn({ prices }, UNKNOWN_PRICES);
    return reconciled;
  } catch (error) {
    await database.call('retry_stripe_sync', { p_minutes: EVERY_MINUTES - RETRY_MINUTES }, IsDueSchema);
    throw error;
  }
}
