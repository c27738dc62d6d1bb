import type { Random } from '../random.js';
import type { Stage } from '../stage.js';
import type { Actor } from './actor.js';

interface Customer {
  readonly id: string;
  readonly subscription: string;
  months: number;
}

/** Opens Stripe's side of subscriptions: each paid month is told as an event, until it is acknowledged, and sometimes twice. */
export async function openPayments(stage: Stage, tokens: readonly string[], random: Random): Promise<Actor> {
  const { client, journal, postgres, stripe } = stage;
  const run = random.below(2 ** 31).toString(36);
  for (const token of tokens) {
    const asked = { method: 'POST', path: '/subscriptions', token, body: { tier: 'pro' } } as const;
    const { status, text } = await client.untilAnswered(asked);
    if (status !== 201) journal.violate(`a payment page: ${status} ${text}`);
  }
  const rows = await postgres.sql<{ id: string }>('select stripe_customer_id as id from public.subscriptions');
  const customers = rows.map(({ id }, n): Customer => ({ id, subscription: `sub_${run}${n}`, months: 0 }));
  const paid = new Set<string>();

  const deliver = async (invoice: string, event: string, customer: Customer, month: number) => {
    const facts = { event, invoice, customer: customer.id, subscription: customer.subscription, month };
    const send = async () => {
      const { payload, signature } = stripe.signPaid(facts);
      const headers = { 'stripe-signature': signature };
      return client.untilAnswered({ method: 'POST', path: '/subscriptions/webhook', body: payload, headers });
    };
    const { status, text } = await send();
    if (status === 200) paid.add(invoice);
    else journal.violate(`a webhook: ${status} ${text}`);
  };

  return {
    name: 'payments',
    atOnce: 2,
    act: async (random) => {
      const customer = random.pick(customers);
      const month = customer.months;
      customer.months += 1;
      const invoice = `in_${run}${customer.id}x${month}`;
      const events = random.chance(0.3) ? ['a', 'b', 'b'] : ['a'];
      await Promise.all(events.map((event) => deliver(invoice, `evt_${invoice}${event}`, customer, month)));
    },
    summarize: () => `${paid.size} paid months`,
    check: async () => {
      const grants = await postgres.sql<{ invoice: string; entries: number }>(
        `select g.stripe_invoice_id as invoice, (
                  select count(*)::integer from public.ledger_entries e
                   where e.kind = 'subscription' and e.subject_id = g.user_id and e.reference = g.stripe_subscription_id
                         || to_char(g.period_start at time zone 'UTC', ' YYYY-MM-DD"T"HH24:MI:SS"Z"')
                ) as entries
           from public.subscription_grants g`,
      );
      const found = new Map(grants.map(({ invoice, entries }) => [invoice, entries]));
      const wrong = [...paid]
        .filter((invoice) => found.get(invoice) !== 1)
        .map((invoice) => `${invoice} was acknowledged, ${found.get(invoice) ?? 0} grants were found`);
      if (found.size > paid.size) wrong.push(`${found.size} invoices were granted, ${paid.size} acknowledged`);
      return wrong;
    },
  };
}
