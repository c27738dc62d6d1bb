import { Type } from '@sinclair/typebox';
import { OneOf } from '../../platform/http/one-of.js';

export const PaidTierSchema = Type.Union([Type.Literal('pro'), Type.Literal('premium')]);

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

export const CheckoutSchema = Type.Object({
  checkout_url: Type.String({ description: 'Where to send the browser to pay.' }),
});

export const PortalSchema = Type.Object({
  portal_url: Type.String({ description: 'Where to send the browser for invoices, payment methods and cancelling.' }),
});

export const ReceivedEventSchema = Type.Object({ received: Type.Literal(true) });
