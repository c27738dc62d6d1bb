import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { Payments } from './payments.js';

// Only the fields we read of Stripe's objects, in the shape of the pinned API version. A webhook endpoint may have been
// created for another version, so an object that does not fit is not an error: it is fetched.

const IdSchema = Type.String({ pattern: '^[A-Za-z0-9_]{1,255}$' });
/** Epoch seconds. */
const TimeSchema = Type.Integer({ minimum: 0, maximum: 253_402_300_799 });
const ReferenceSchema = Type.Union([IdSchema, Type.Object({ id: IdSchema })]);

const SubscriptionSchema = Type.Object({
  id: IdSchema,
  customer: ReferenceSchema,
  status: Type.String({ pattern: '^[a-z_]{1,50}$' }),
  created: TimeSchema,
  cancel_at_period_end: Type.Boolean(),
  cancel_at: Type.Optional(Type.Union([TimeSchema, Type.Null()])),
  metadata: Type.Optional(Type.Record(Type.String(), Type.String())),
  items: Type.Object({
    data: Type.Array(
      Type.Object({
        id: IdSchema,
        price: Type.Object({ id: Type.String() }),
        current_period_start: TimeSchema,
        current_period_end: TimeSchema,
      }),
      { minItems: 1 },
    ),
  }),
});

const DetailsSchema = Type.Optional(Type.Union([Type.Object({ proration: Type.Boolean() }), Type.Null()]));
const LineSchema = Type.Object({
  amount: Type.Integer(),
  quantity: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
  period: Type.Object({ start: TimeSchema, end: TimeSchema }),
  pricing: Type.Union([
    Type.Object({
      price_details: Type.Optional(
        Type.Object({ price: Type.Union([Type.String(), Type.Object({ id: Type.String() })]) }),
      ),
    }),
    Type.Null(),
  ]),
  parent: Type.Union([
    Type.Object({ subscription_item_details: DetailsSchema, invoice_item_details: DetailsSchema }),
    Type.Null(),
  ]),
});
const InvoiceSchema = Type.Object({
  id: IdSchema,
  status: Type.Literal('paid'),
  customer: ReferenceSchema,
  parent: Type.Object({ subscription_details: Type.Object({ subscription: ReferenceSchema }) }),
  lines: Type.Object({ data: Type.Array(LineSchema), has_more: Type.Boolean() }),
  amount_paid: Type.Integer(),
  currency: Type.String({ pattern: '^[a-z]{3,10}$' }),
});

/** A checkout session; an invoice of earlier versions looks alike. */
const SessionRefSchema = Type.Object({ subscription: ReferenceSchema, customer: ReferenceSchema });
const InvoiceRefSchema = Type.Pick(InvoiceSchema, ['customer', 'parent']);
const SubscriptionIdentitySchema = Type.Pick(SubscriptionSchema, ['id', 'customer']);

const subscriptions = TypeCompiler.Compile(SubscriptionSchema);
const invoices = TypeCompiler.Compile(InvoiceSchema);
const sessionRefs = TypeCompiler.Compile(SessionRefSchema);
const invoiceRefs = TypeCompiler.Compile(InvoiceRefSchema);
const identities = TypeCompiler.Compile(SubscriptionIdentitySchema);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Returns the id of an object that is given by its id, or expanded. */
const toId = (reference: Static<typeof ReferenceSchema>) => (typeof reference === 'string' ? reference : reference.id);

/** A subscription as SQL functions take it (`p_state`); times in epoch seconds. */
export type SubscriptionState = {
  readonly subscription_id: string;
  readonly customer_id: string;
  readonly user_id: string | null;
  readonly created: number;
  readonly status: string;
  /** Null if the price is not one of ours. */
  readonly tier: string | null;
  readonly period_start: number;
  readonly period_end: number;
  readonly cancels: boolean;
  readonly grace_days: number;
};

/** Refers to a subscription, to fetch its state. */
export type SubscriptionRef = Pick<SubscriptionState, 'subscription_id' | 'customer_id'>;

/** A paid invoice as SQL functions take it (`p_invoice`); times in epoch seconds. */
export type PaidInvoice = {
  readonly invoice_id: string;
  readonly customer_id: string;
  readonly subscription_id: string;
  /** In the currency's smallest unit. */
  readonly amount_paid: number;
  readonly currency: string;
  /** Lines that charge (sign 1), credit (-1) or are free (0), of our prices only. */
  readonly lines: {
    readonly tier: string;
    readonly sign: number;
    readonly proration: boolean;
    readonly quantity: number;
    readonly period_start: number;
    readonly period_end: number;
  }[];
};

/** Returns the item of a subscription that names its tier, or the first one if none has one of our prices. */
export function findTierItem(
  object: unknown,
  { prices }: Payments,
): Static<typeof SubscriptionSchema>['items']['data'][number] | undefined {
  if (!subscriptions.Check(object)) return undefined;
  const { data } = object.items;
  return data.find((item) => prices.findTier(item.price.id) !== undefined) ?? data[0];
}

/** Parses a subscription; undefined for an object of another shape. */
export function parseSubscription(object: unknown, payments: Payments): SubscriptionState | undefined {
  const item = findTierItem(object, payments);
  if (item === undefined || !subscriptions.Check(object)) return undefined;
  const user_id = object.metadata?.['user_id'] ?? '';
  return {
    subscription_id: object.id,
    customer_id: toId(object.customer),
    user_id: UUID.test(user_id) ? user_id : null,
    created: object.created,
    status: object.status,
    tier: payments.prices.findTier(item.price.id) ?? null,
    period_start: item.current_period_start,
    period_end: item.current_period_end,
    // Stripe's own pages may set this date instead of the flag.
    cancels: object.cancel_at_period_end || typeof object.cancel_at === 'number',
    grace_days: payments.graceDays,
  };
}

/** Returns the lines of an invoice that have one of our prices. */
function parseLines(lines: readonly Static<typeof LineSchema>[], { prices }: Payments): PaidInvoice['lines'] {
  return lines.flatMap(({ amount, quantity, period, pricing, parent }) => {
    const price = pricing?.price_details?.price;
    const tier = price === undefined ? undefined : prices.findTier(toId(price));
    if (tier === undefined) return [];
    const details = parent?.subscription_item_details ?? parent?.invoice_item_details;
    const proration = details?.proration ?? false;
    const whole = { period_start: period.start, period_end: period.end };
    return [{ tier, sign: Math.sign(amount), proration, quantity: quantity ?? 1, ...whole }];
  });
}

/** Parses a paid invoice of a subscription; undefined for another shape, or if it has more lines than it lists. */
export function parsePaidInvoice(object: unknown, payments: Payments): PaidInvoice | undefined {
  if (!invoices.Check(object) || object.lines.has_more) return undefined;
  return {
    invoice_id: object.id,
    customer_id: toId(object.customer),
    subscription_id: toId(object.parent.subscription_details.subscription),
    amount_paid: object.amount_paid,
    currency: object.currency,
    lines: parseLines(object.lines.data, payments),
  };
}

/** Returns the prices of a subscription or an invoice if none of them is of a tier; an empty list otherwise. */
export function findUnknownPrices(object: unknown, { prices }: Payments): string[] {
  let ids: string[] = [];
  if (subscriptions.Check(object)) ids = object.items.data.map(({ price }) => price.id);
  else if (invoices.Check(object))
    ids = object.lines.data.flatMap(({ pricing }) => pricing?.price_details?.price ?? []).map(toId);
  return ids.some((id) => prices.findTier(id) !== undefined) ? [] : [...new Set(ids)];
}

/** Parses only the ids of a subscription, whatever shape the rest of it has. */
export function parseSubscriptionRef(object: unknown): SubscriptionRef | undefined {
  return identities.Check(object) ? { subscription_id: object.id, customer_id: toId(object.customer) } : undefined;
}

/** Parses which subscription a checkout session or an invoice belongs to; undefined if it belongs to none. */
export function parseRelatedSubscription(object: unknown): SubscriptionRef | undefined {
  if (sessionRefs.Check(object))
    return { subscription_id: toId(object.subscription), customer_id: toId(object.customer) };
  if (!invoiceRefs.Check(object)) return undefined;
  const { subscription } = object.parent.subscription_details;
  return { subscription_id: toId(subscription), customer_id: toId(object.customer) };
}
