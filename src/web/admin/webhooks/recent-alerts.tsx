import type { Static } from '@sinclair/typebox';
import type { RecentAlertsSchema } from '../../../features/alerts/schemas.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Badge, Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatAgo, formatCount } from '../../foundation/format.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { More } from '../list/more.js';
import { usePages } from '../list/use-pages.js';
import { api } from '../session.js';

type Alerts = Static<typeof RecentAlertsSchema>;
type Alert = Alerts['alerts'][number];

/** Says what happened. */
function describe({ type, data }: Alert): string {
  if (type === 'ledger.discrepancy') return t('admin.alerts.discrepancy');
  if (type === 'balance.exhausted') return t('admin.alerts.exhausted');
  const threshold = { threshold: data.threshold ?? 0 };
  return t(data.subject_kind === 'pool' ? 'admin.alerts.poolThreshold' : 'admin.alerts.threshold', threshold);
}

/** Leads to what an alert is about. */
function About({ alert: { type, name, data } }: { readonly alert: Alert }) {
  const { subject_kind: kind, subject_id: id, pool } = data;
  if (type === 'ledger.discrepancy') return <a href={toHref('/books')}>{t('admin.nav.books')}</a>;
  if (kind === 'pool') {
    return <a href={toHref('/budget')}>{t(`admin.pool.kinds.${pool === 'user' ? 'user' : 'device'}`)}</a>;
  }
  if (name === null) return <span class="quiet">{t('admin.alerts.gone')}</span>;
  return <a href={toHref(`/${kind === 'user' ? 'people' : 'devices'}/${id}`)}>{name}</a>;
}

const toColumns = (): readonly Column<Alert>[] => [
  { key: 'about', label: t('admin.alerts.about'), heads: true, cell: (alert) => <About alert={alert} /> },
  {
    key: 'what',
    label: t('admin.alerts.what'),
    cell: (alert) => <Badge tone={alert.type === 'balance.threshold' ? 'warning' : 'bad'}>{describe(alert)}</Badge>,
  },
  {
    key: 'left',
    label: t('admin.balance.left'),
    numeric: true,
    cell: ({ data }) => (data.remaining === undefined ? '–' : formatCount(data.remaining)),
  },
  { key: 'when', label: t('admin.ledger.when'), cell: (alert) => formatAgo(alert.occurred_at) },
];

/** Shows what was warned of lately. @param limit how many at first @param isShort whether the rest is elsewhere */
export function RecentAlerts({ limit, isShort = false }: { readonly limit: number; readonly isShort?: boolean }) {
  const pages = usePages<Alert>(
    async (cursor, signal) => {
      const read = await api.get<Alerts>('admin/alerts/recent', { cursor, limit }, signal);
      return { rows: read.alerts, next: read.next_cursor };
    },
    [limit],
  );
  return (
    <Card
      title={t('admin.alerts.recent')}
      {...(isShort
        ? { actions: <a href={toHref('/webhooks')}>{t('admin.alerts.all')}</a> }
        : { lead: t('admin.alerts.recentLead') })}
    >
      <LoadedTable
        from={pages.first}
        toRows={() => pages.rows}
        none={<Empty title={t('admin.alerts.none')} />}
        caption={t('admin.alerts.recent')}
        rowKey={({ id }) => String(id)}
        columns={toColumns()}
      />
      {!isShort && <More pages={pages} />}
    </Card>
  );
}
