import { Type } from '@sinclair/typebox';
import { OneOf } from '../../platform/http/one-of.js';
import { NextCursor } from '../../platform/http/pagination.js';

const PaidTierSchema = Type.Union([Type.Literal('pro'), Type.Literal('premium')]);

export const ChooseTierSchema = Type.Object({ tier: PaidTierSchema }, { additionalProperties: false });

export const EndSubscriptionQuerySchema = Type.Object(
  {
    now: Type.Boolean({
      default: false,
      description: 'At once instead of at the end of the paid period.',
    }),
  },
  { additionalProperties: false },
);

const Time = (description: string) => Type.Union([Type.String(), Type.Null()], { description });

export const SubscriptionSchema = Type.Object(
  {
    tier: OneOf(['free', 'pro', 'premium'], { description: 'The tier whose limits apply now.' }),
    status: Type.String({
      description: 'none, or as Stripe calls it: active, trialing, past_due, unpaid, paused, incomplete, canceled, …',
    }),
    subscribed_tier: Type.Union([OneOf(['pro', 'premium']), Type.Null()], {
      description: 'The tier last subscribed to, even if it is no longer in force.',
    }),
    current_period_start: Time('Start of the period being billed.'),
    current_period_end: Time('End of the period being billed.'),
    cancel_at_period_end: Type.Boolean(),
    grace_ends_at: Time('While a payment is overdue: until when the tier stays in force.'),
    usage: Type.Object({
      since: Type.String({
        description: 'Start of the count: of the period, or for the free tier of the month (UTC).',
      }),
      monthly_tokens: Type.Integer({ description: 'Tokens a paid month adds to the balance.' }),
      tokens_granted: Type.Integer({
        description: 'Tokens the subscription has added since, less those whose money went back.',
      }),
      tokens_owed: Type.Integer({
        description: 'Tokens granted beyond what the money kept is worth; the next paid invoices make up for them.',
      }),
      tokens_used: Type.Integer({ description: 'Tokens debited from the balance since.' }),
      tokens_left: Type.Integer({ description: 'Tokens left in the balance, wherever they came from.' }),
      devices: Type.Integer({ description: 'Linked devices.' }),
      device_limit: Type.Union([Type.Integer(), Type.Null()], {
        description: 'Most devices that can be linked; null for any number.',
      }),
    }),
  },
  { title: 'Subscription' },
);

/** What a price may be paid for, as Stripe calls it. */
export const INTERVALS = ['day', 'week', 'month', 'year'] as const;

const PriceSchema = Type.Object({
  amount: Type.Integer({ description: "In the currency's smallest unit." }),
  currency: Type.String({ description: 'Such as usd.' }),
  interval: OneOf(INTERVALS, { description: 'What it is paid for.' }),
});

/** What a tier is worth, as SQL says it. */
export const PlanSchema = Type.Object({
  tier: OneOf(['free', 'pro', 'premium']),
  monthly_tokens: Type.Integer({ description: 'Tokens a paid month adds to the balance.' }),
  device_limit: Type.Union([Type.Integer(), Type.Null()], {
    description: 'Most devices that can be linked; null for any number.',
  }),
});

export const PlansSchema = Type.Object({
  plans: Type.Array(
    Type.Composite([
      PlanSchema,
      Type.Object({
        for_sale: Type.Boolean({ description: 'Whether it can be subscribed to here.' }),
        price: Type.Union([PriceSchema, Type.Null()], {
          description: 'What it costs; null where it is not for sale, or Stripe cannot be asked.',
        }),
      }),
    ]),
  ),
});

export const CheckoutSchema = Type.Object({
  checkout_url: Type.String({ description: 'Where to send the browser to pay.' }),
});

export const PortalSchema = Type.Object({
  portal_url: Type.String({ description: 'Where to send the browser for invoices, payment methods and cancelling.' }),
});

export const ReceivedEventSchema = Type.Object({ received: Type.Literal(true) });

/** Ids as Stripe gives its payment pages: long, random, and known to whoever opened the page only. */
export const FindPurchaseSchema = Type.Object(
  {
    checkout_id: Type.String({ pattern: '^cs_[A-Za-z0-9_]{10,250}$', description: "The id of Stripe's payment page." }),
  },
  { additionalProperties: false },
);

const BoughtSchema = Type.Object({
  tier: PaidTierSchema,
  period_start: Type.String(),
  period_end: Type.String(),
  tokens_granted: Type.Integer({ minimum: 0 }),
});
export const BoughtOrNothingSchema = Type.Union([BoughtSchema, Type.Null()]);

export const PurchaseSchema = Type.Object({
  status: Type.Union([Type.Literal('unpaid'), Type.Literal('paid'), Type.Literal('granted')], {
    description: 'granted: Stripe has told us of the payment, and what it bought is there.',
  }),
  amount: Type.Union([Type.Integer(), Type.Null()], { description: "In the currency's smallest unit." }),
  currency: Type.Union([Type.String({ description: 'Such as usd.' }), Type.Null()]),
  bought: BoughtOrNothingSchema,
});

export const PaymentSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    paid_at: Type.String({ description: 'When it arrived here.' }),
    tier: PaidTierSchema,
    renewal: Type.Boolean({
      description: 'true for a whole period, false for the rest of one after a change of tier.',
    }),
    period_start: Type.String({ description: 'Start of what was paid for.' }),
    period_end: Type.String({ description: 'Its end.' }),
    amount: Type.Union([Type.Integer(), Type.Null()], {
      description: "What was paid, in the currency's smallest unit; null where it was not noted.",
    }),
    currency: Type.Union([Type.String({ description: 'Such as usd.' }), Type.Null()]),
    tokens_bought: Type.Integer({
      description: 'Tokens of what was charged less those of what was credited; negative where more was credited.',
    }),
    tokens_granted: Type.Integer({
      minimum: 0,
      description: 'Tokens it added to the balance: less than were bought where some were owed.',
    }),
    tokens_taken_back: Type.Integer({ description: 'Tokens taken from the balance since, as their money went back.' }),
  },
  { title: 'Payment' },
);

export const PaymentsSchema = Type.Object({ payments: Type.Array(PaymentSchema), next_cursor: NextCursor });

export const PaymentParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const InvoiceSchema = Type.Object({
  number: Type.Union([Type.String(), Type.Null()], { description: "Stripe's number of it." }),
  invoice_url: Type.String({ description: 'Where to look at it; good for some weeks.' }),
  pdf_url: Type.Union([Type.String(), Type.Null()], { description: 'Where to save it.' }),
});
