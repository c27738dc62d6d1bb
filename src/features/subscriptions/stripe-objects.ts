import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { Payments } from './payments.js';

// What is read of Stripe's objects, in the shape of the pinned API version. A webhook endpoint may have been made for another
// version, so an object that does not fit is no error: it is fetched.

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
});

/** A checkout session; an invoice of earlier versions looks alike. */
const PointerSchema = Type.Object({ subscription: ReferenceSchema, customer: ReferenceSchema });
const InvoicePointerSchema = Type.Pick(InvoiceSchema, ['customer', 'parent']);
const OwnPointerSchema = Type.Pick(SubscriptionSchema, ['id', 'customer']);

const subscriptions = TypeCompiler.Compile(SubscriptionSchema);
const invoices = TypeCompiler.Compile(InvoiceSchema);
const pointers = TypeCompiler.Compile(PointerSchema);
const invoicePointers = TypeCompiler.Compile(InvoicePointerSchema);
const ownPointers = TypeCompiler.Compile(OwnPointerSchema);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const idOf = (reference: Static<typeof ReferenceSchema>) => (typeof reference === 'string' ? reference : reference.id);

/** A subscription as SQL functions take it (`p_state`); times in epoch seconds. */
export type SubscriptionState = {
  readonly subscription_id: string;
  readonly customer_id: string;
  readonly user_id: string | null;
  readonly created: number;
  readonly status: string;
  /** Null for a price that is none of ours. */
  readonly tier: string | null;
  readonly period_start: number;
  readonly period_end: number;
  readonly cancels: boolean;
  readonly grace_days: number;
};

/** Which subscription an object is about, to ask for its state. */
export type SubscriptionRef = Pick<SubscriptionState, 'subscription_id' | 'customer_id'>;

/** A paid invoice as SQL functions take it (`p_invoice`); times in epoch seconds. */
export type PaidInvoice = {
  readonly invoice_id: string;
  readonly customer_id: string;
  readonly subscription_id: string;
  /** What is charged (sign 1), credited (-1) or free (0), of prices of ours. */
  readonly lines: {
    readonly tier: string;
    readonly sign: number;
    readonly proration: boolean;
    readonly period_start: number;
    readonly period_end: number;
  }[];
};

/** The item of a subscription that says its tier; of none of ours the first one. */
export function itemOf(
  object: unknown,
  { prices }: Payments,
): Static<typeof SubscriptionSchema>['items']['data'][number] | undefined {
  if (!subscriptions.Check(object)) return undefined;
  const { data } = object.items;
  return data.find((item) => prices.tierOf(item.price.id) !== undefined) ?? data[0];
}

/** Reads a subscription; undefined for what has another shape. */
export function stateOf(object: unknown, payments: Payments): SubscriptionState | undefined {
  const item = itemOf(object, payments);
  if (item === undefined || !subscriptions.Check(object)) return undefined;
  const user_id = object.metadata?.['user_id'] ?? '';
  return {
    subscription_id: object.id,
    customer_id: idOf(object.customer),
    user_id: UUID.test(user_id) ? user_id : null,
    created: object.created,
    status: object.status,
    tier: payments.prices.tierOf(item.price.id) ?? null,
    period_start: item.current_period_start,
    period_end: item.current_period_end,
    // Stripe's own pages may set the date instead of the flag.
    cancels: object.cancel_at_period_end || typeof object.cancel_at === 'number',
    grace_days: payments.graceDays,
  };
}

function linesOf(lines: readonly Static<typeof LineSchema>[], { prices }: Payments): PaidInvoice['lines'] {
  return lines.flatMap(({ amount, period, pricing, parent }) => {
    const price = pricing?.price_details?.price;
    const tier = price === undefined ? undefined : prices.tierOf(idOf(price));
    if (tier === undefined) return [];
    const details = parent?.subscription_item_details ?? parent?.invoice_item_details;
    const proration = details?.proration ?? false;
    return [{ tier, sign: Math.sign(amount), proration, period_start: period.start, period_end: period.end }];
  });
}

/** Reads a paid invoice of a subscription; undefined for what has another shape, or more lines than it lists. */
export function paidInvoiceOf(object: unknown, payments: Payments): PaidInvoice | undefined {
  if (!invoices.Check(object) || object.lines.has_more) return undefined;
  return {
    invoice_id: object.id,
    customer_id: idOf(object.customer),
    subscription_id: idOf(object.parent.subscription_details.subscription),
    lines: linesOf(object.lines.data, payments),
  };
}

/** Reads which subscription a subscription is, whatever else it says. */
export function pointerOf(object: unknown): SubscriptionRef | undefined {
  return ownPointers.Check(object) ? { subscription_id: object.id, customer_id: idOf(object.customer) } : undefined;
}

/** Reads which subscription a checkout session or an invoice is about; undefined for one about none. */
export function subjectOf(object: unknown): SubscriptionRef | undefined {
  if (pointers.Check(object)) return { subscription_id: idOf(object.subscription), customer_id: idOf(object.customer) };
  if (!invoicePointers.Check(object)) return undefined;
  const { subscription } = object.parent.subscription_details;
  return { subscription_id: idOf(subscription), customer_id: idOf(object.customer) };
}
