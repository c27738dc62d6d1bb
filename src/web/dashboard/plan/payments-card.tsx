import type { Static } from '@sinclair/typebox';
import type { InvoiceSchema, PaymentSchema } from '../../../features/subscriptions/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty, Failure } from '../../foundation/components/notice.js';
import { Pager } from '../../foundation/components/pager.js';
import type { Column } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount, formatDate, formatPeriod, formatSigned } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { formatMoney } from '../../foundation/money.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { usePages } from '../use-pages.js';
import type { Subscription } from './offer.js';

type Payment = Static<typeof PaymentSchema>;
interface List {
  readonly payments: readonly Payment[];
  readonly next_cursor: string | null;
}

const PAGE_ROWS = 12;

/** What a payment added to the balance, and why that is not what it was for. */
function Granted({ payment }: { readonly payment: Payment }) {
  const { tokens_bought, tokens_granted, tokens_taken_back } = payment;
  const credited = Math.max(-tokens_bought, 0);
  const offset = Math.max(tokens_bought, 0) - tokens_granted;
  return (
    <span class="granted">
      {formatSigned(tokens_granted)}
      {offset > 0 && <small>{t('plan.offset', { count: formatCount(offset) })}</small>}
      {credited > 0 && <small>{t('plan.credited', { count: formatCount(credited) })}</small>}
      {tokens_taken_back > 0 && <small>{t('plan.takenBack', { count: formatCount(tokens_taken_back) })}</small>}
    </span>
  );
}

const listColumns = (open: (payment: Payment) => void, busy: boolean): readonly Column<Payment>[] => [
  {
    key: 'plan',
    label: t('checkout.plan'),
    cell: ({ tier, renewal }) => (
      <span>
        {t(`plan.tiers.${tier}`)} {!renewal && <small>{t('plan.rest')}</small>}
      </span>
    ),
    heads: true,
  },
  { key: 'when', label: t('plan.paidOn'), cell: ({ paid_at }) => formatDate(paid_at) },
  {
    key: 'period',
    label: t('checkout.period'),
    cell: ({ period_start, period_end }) => <span class="nowrap">{formatPeriod(period_start, period_end)}</span>,
  },
  {
    key: 'amount',
    label: t('checkout.paid'),
    cell: ({ amount, currency }) => (amount === null || currency === null ? '–' : formatMoney(amount, currency)),
    numeric: true,
  },
  { key: 'tokens', label: t('usage.tokens'), cell: (payment) => <Granted payment={payment} />, numeric: true },
  {
    key: 'acts',
    label: t('common.actions'),
    acts: true,
    cell: (payment) => (
      <Button
        busy={busy}
        label={`${t('plan.invoice')}: ${t(`plan.tiers.${payment.tier}`)}, ${formatDate(payment.paid_at)}`}
        onClick={() => open(payment)}
      >
        {t('plan.invoice')}
      </Button>
    ),
  },
];

/** Shows what was paid, what each payment granted, and the way to its invoice at Stripe. */
export function PaymentsCard({ subscription }: { readonly subscription: Subscription }) {
  const pages = usePages<Payment>(
    async (cursor, signal) => {
      const query = { limit: PAGE_ROWS, cursor };
      const { payments, next_cursor } = await api.get<List>('subscriptions/payments', query, signal);
      return { rows: payments, next: next_cursor };
    },
    [subscription],
  );
  const invoice = useAction(async ({ id }: Payment) => {
    const { invoice_url } = await api.get<Static<typeof InvoiceSchema>>(`subscriptions/payments/${id}/invoice`);
    location.assign(invoice_url);
  });
  // Whoever never subscribed needs no list of nothing.
  if (subscription.status === 'none' && pages.rows.length === 0) return null;
  return (
    <Card title={t('plan.payments')} lead={t('plan.paymentsLead')}>
      <Failure failure={invoice.failure} />
      <LoadedTable
        from={pages.from}
        toRows={() => pages.rows}
        none={<Empty title={t('plan.noPayments')} />}
        caption={t('plan.payments')}
        columns={listColumns((payment) => void invoice.run(payment), invoice.busy)}
        rowKey={({ id }) => id}
      />
      <Failure failure={pages.next.failure} />
      <Pager more={pages.more} busy={pages.next.busy} onMore={() => void pages.next.run()} />
    </Card>
  );
}
