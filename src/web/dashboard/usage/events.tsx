import type { Static } from '@sinclair/typebox';
import type { ListedUsageSchema } from '../../../features/usage/schemas.js';
import { Loads } from '../../foundation/components/loads.js';
import { Failure } from '../../foundation/components/notice.js';
import { Pager } from '../../foundation/components/pager.js';
import { type Column, Table } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount, formatUsd } from '../../foundation/format.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { Moment } from '../moment.js';
import { usePages } from '../use-pages.js';
import { type Days, toDaysQuery } from './days.js';
import { knownName, nameOf } from './names.js';

type UsageEvent = Static<typeof ListedUsageSchema>;
interface List {
  readonly usage: readonly UsageEvent[];
  readonly next_cursor: string | null;
}

const PAGE_ROWS = 20;

/** Where it was used: the page without its scheme, where there is one. */
function Origin({ event }: { readonly event: UsageEvent }) {
  const page = event.url?.replace(/^https?:\/\//, '');
  return (
    <span class="clip origin" title={event.url ?? undefined}>
      {[knownName(event.provider), t(`usage.sources.${event.source}`), page].filter(Boolean).join(' · ')}
    </span>
  );
}

const listColumns = (): readonly Column<UsageEvent>[] => [
  { key: 'model', label: t('usage.model'), cell: ({ model }) => nameOf(model), heads: true },
  {
    key: 'when',
    label: t('usage.when'),
    cell: ({ occurred_at }) => <Moment at={occurred_at} />,
  },
  { key: 'origin', label: t('usage.origin'), cell: (event) => <Origin event={event} /> },
  { key: 'sent', label: t('usage.sent'), cell: ({ input_tokens }) => formatCount(input_tokens), numeric: true },
  {
    key: 'received',
    label: t('usage.received'),
    cell: ({ output_tokens }) => formatCount(output_tokens),
    numeric: true,
  },
  { key: 'tokens', label: t('usage.tokens'), cell: ({ total_tokens }) => formatCount(total_tokens), numeric: true },
  {
    key: 'money',
    label: t('usage.money'),
    cell: ({ nano_usd }) => (nano_usd === null ? '–' : formatUsd(nano_usd)),
    numeric: true,
  },
];

/** Shows what was used, newest first: as a table, and on a phone as cards. @param props.round changes when all is loaded again */
export function Events({ days, round }: { readonly days: Days; readonly round: number }) {
  const pages = usePages<UsageEvent>(
    async (cursor, signal) => {
      const query = { limit: PAGE_ROWS, ...toDaysQuery(days), cursor };
      const { usage, next_cursor } = await api.get<List>('usage', query, signal);
      return { rows: usage, next: next_cursor };
    },
    [days.from, days.to, round],
  );
  return (
    <Card title={t('usage.events')} kind="events">
      <Loads from={pages.from}>
        {() => (
          <Table
            caption={t('usage.events')}
            captionHidden
            columns={listColumns()}
            rows={pages.rows}
            rowKey={({ id }) => id}
          />
        )}
      </Loads>
      <Failure failure={pages.next.failure} />
      <Pager more={pages.more} busy={pages.next.busy} onMore={() => void pages.next.run()} />
    </Card>
  );
}
