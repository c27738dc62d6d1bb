import { createInvoice } from '../../helpers/fakes/stripe-invoices.js';
import {
  checkoutSessionObject,
  type EventObject,
  eventObject,
  subscriptionObject,
} from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { assertLedger } from '../../helpers/http/server-load.js';
import { openReadyDirectory, type ServerDirectory, startServer } from '../../helpers/http/server-process.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { signed } from '../../helpers/subscriptions.js';
import { untilTrue } from '../../helpers/until.js';

const stripe = await openStripe(t);

async function call<Answer>(url: string, body: object, headers: Record<string, string> = {}): Promise<Answer> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
  const answer: Answer = JSON.parse(await (await fetch(url, init)).text());
  return answer;
}

/** Delivers an event; returns its status, or 0 if no answer came. */
async function deliver(url: string, event: EventObject): Promise<number> {
  const { payload, header } = signed(event);
  const headers = { 'content-type': 'application/json', 'stripe-signature': header };
  const init = { method: 'POST', headers, body: payload };
  return fetch(`${url}/api/subscriptions/webhook`, init).then(
    ({ status }) => status,
    () => 0,
  );
}

/** Registers a person who has paid, but whose events have not arrived. */
async function payer(url: string, { sql }: ServerDirectory) {
  const account = { email: 'payer@example.com', password: 'correct horse battery staple' };
  const { token, user } = await call<{ token: string; user: { id: string } }>(`${url}/api/auth/register`, account);
  await call(`${url}/api/subscriptions`, { tier: 'pro' }, { authorization: `Bearer ${token}` });
  const [row] = await sql<{ id: string }>('select stripe_customer_id as id from public.subscriptions');
  const subscription = subscriptionObject({ customer: row?.id ?? '', userId: user.id });
  stripe.subscriptions.set(subscription.id, subscription);
  return { user, subscription };
}

const readEffects = ({ sql }: ServerDirectory) =>
  sql(
    `select (select array_agg(amount::integer) from public.ledger_entries where kind = 'subscription') as grants,
            (select count(*)::integer from private.stripe_events) as events`,
  );

/** Kills the server while it handles an event, starts it again and sends the event again. */
async function assertCompletedOnce(
  t: Test,
  interrupt: (
    directory: ServerDirectory,
  ) => Promise<{ readonly underWay: () => Promise<void>; readonly release: () => Promise<void> }>,
  toEvent: (payment: Awaited<ReturnType<typeof payer>>) => EventObject,
  effects: object,
  status: RegExp | string,
): Promise<void> {
  const directory = await openReadyDirectory(t);
  const { environment } = stripe;
  const server = startServer(t, { cwd: directory.path, environment });
  const url = await server.ready();
  const event = toEvent(await payer(url, directory));
  const { underWay, release } = await interrupt(directory);
  const delivered = deliver(url, event);
  await underWay();
  server.signal('SIGKILL');
  t.equal(await delivered, 0, 'nothing was acknowledged');
  await server.ended;
  await release();

  const again = await startServer(t, { cwd: directory.path, environment }).ready();
  t.strictSame(await Promise.all([1, 2, 3].map(() => deliver(again, event))), [200, 200, 200]);
  t.strictSame(await readEffects(directory), [effects]);
  t.match(await directory.sql('select status from public.subscriptions'), [{ status }]);
  await assertLedger(t, directory.sql);
}

t.test('a server killed in the middle of a grant grants once when the event is sent again', async (t) => {
  await assertCompletedOnce(
    t,
    async ({ connect, sql }) => {
      const holder = await connect();
      await holder.query('begin');
      await holder.query(`select from public.budgets where subject_kind = 'user' for update`);
      const waiting = `select from pg_stat_activity where wait_event_type = 'Lock'`;
      return {
        underWay: () => untilTrue(async () => (await sql(waiting)).length > 0),
        release: async () => {
          await holder.query('rollback');
        },
      };
    },
    ({ subscription }) => eventObject('invoice.paid', createInvoice(subscription)),
    { grants: [5_000_000], events: 1 },
    // The server that starts compares with Stripe, which may have told it the status meanwhile.
    /^(none|active)$/,
  );
});

t.test('a server killed during a request to Stripe applies the state once when the event is sent again', async (t) => {
  await assertCompletedOnce(
    t,
    async () => {
      const asked = stripe.requests.length;
      stripe.setTrouble('hang');
      return {
        underWay: () => untilTrue(() => stripe.requests.length > asked),
        release: async () => stripe.setTrouble(undefined),
      };
    },
    ({ user, subscription }) => eventObject('checkout.session.completed', checkoutSessionObject(subscription, user.id)),
    { grants: null, events: 1 },
    'active',
  );
});

t.end();
