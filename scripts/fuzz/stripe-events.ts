import fc from 'fast-check';

/** Events that we act upon, and one that we do not. */
const TYPES = [
  ...['invoice.paid', 'invoice.payment_failed', 'checkout.session.completed', 'charge.refunded', 'refund.updated'],
  ...['customer.subscription.created', 'customer.subscription.updated', 'customer.subscription.deleted'],
  ...['charge.dispute.created', 'charge.dispute.closed', 'credit_note.created', 'customer.created'],
];
const SECONDS = { min: 0, max: 4_000_000_000 };
const reference = fc.option(fc.constantFrom('cus_chaos1', 'sub_fuzz', 'in_fuzz', 'ch_fuzz', 'unknown'), { freq: 8 });

const object = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.record(
    {
      id: fc.constantFrom('in_fuzz', 'sub_fuzz', 'ch_fuzz', ''),
      object: fc.constantFrom('invoice', 'subscription', 'charge', 'dispute', 'checkout.session'),
      customer: reference,
      subscription: reference,
      charge: reference,
      status: fc.constantFrom('paid', 'active', 'canceled', 'past_due', 'won', 'lost', 'complete'),
      created: fc.integer(SECONDS),
      amount: fc.integer(),
      amount_paid: fc.integer(),
      amount_refunded: fc.integer(),
      period_start: fc.integer(SECONDS),
      period_end: fc.integer(SECONDS),
      metadata: fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }),
      items: fc.record({ data: fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 2 }) }),
      lines: fc.record({ data: fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 2 }) }),
    },
    { requiredKeys: [] },
  ),
);

/** Events as Stripe could send them, and such as it never would. */
export const stripeEvents: fc.Arbitrary<unknown> = fc.record(
  {
    id: fc.oneof(fc.stringMatching(/^evt_[a-z0-9]{1,12}$/), fc.string()),
    object: fc.constant('event'),
    type: fc.oneof({ arbitrary: fc.constantFrom(...TYPES), weight: 9 }, { arbitrary: fc.string(), weight: 1 }),
    created: fc.integer(SECONDS),
    livemode: fc.oneof({ arbitrary: fc.constant(false), weight: 9 }, { arbitrary: fc.boolean(), weight: 1 }),
    data: fc.record({ object }),
  },
  { requiredKeys: ['id', 'type', 'livemode', 'created', 'data'] },
);
