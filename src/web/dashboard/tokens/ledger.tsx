import type { Static } from '@sinclair/typebox';
import type { LedgerItemSchema } from '../../../features/users/schemas.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty, Failure } from '../../foundation/components/notice.js';
import { Pager } from '../../foundation/components/pager.js';
import type { Column } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatSigned } from '../../foundation/format.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { Moment } from '../moment.js';
import { knownName } from '../usage/names.js';
import { usePages } from '../use-pages.js';

type Entry = Static<typeof LedgerItemSchema>;
interface List {
  readonly entries: readonly Entry[];
  readonly next_cursor: string | null;
}

const PAGE_ROWS = 20;

/** What an entry is about: the model of a use, or what a change refers to. */
function About({ entry }: { readonly entry: Entry }) {
  const { model, provider, reference, status } = entry;
  // What a payment refers to is Stripe's own name of it.
  const named = entry.kind === 'subscription' ? undefined : reference;
  const parts = [model, knownName(provider), named, status && t(`tokens.holds.${status}`)];
  return (
    <span class="clip" title={reference}>
      {parts.filter(Boolean).join(' · ') || '–'}
    </span>
  );
}

const listColumns = (): readonly Column<Entry>[] => [
  { key: 'kind', label: t('tokens.what'), cell: ({ kind }) => t(`tokens.kinds.${kind}`), heads: true },
  { key: 'when', label: t('usage.when'), cell: ({ created_at }) => <Moment at={created_at} /> },
  { key: 'about', label: t('tokens.about'), cell: (entry) => <About entry={entry} /> },
  {
    key: 'amount',
    label: t('usage.tokens'),
    cell: ({ amount }) => formatSigned(amount),
    numeric: true,
    sums: true,
  },
];

/** Shows what changed the balance, newest first: what was granted, by payments too, and what was spent. @param props.round changes when all is loaded again */
export function Ledger({ round }: { readonly round: number }) {
  const pages = usePages<Entry>(
    async (cursor, signal) => {
      const { entries, next_cursor } = await api.get<List>('users/me/ledger', { limit: PAGE_ROWS, cursor }, signal);
      return { rows: entries, next: next_cursor };
    },
    [round],
  );
  return (
    <Card title={t('tokens.ledger')} lead={t('tokens.ledgerLead')}>
      <LoadedTable
        from={pages.from}
        toRows={() => pages.rows}
        none={<Empty title={t('tokens.ledgerEmpty')} />}
        caption={t('tokens.ledger')}
        compact
        columns={listColumns()}
        rowKey={({ kind, id }) => `${kind} ${id}`}
      />
      <Failure failure={pages.next.failure} />
      <Pager more={pages.more} busy={pages.next.busy} onMore={() => void pages.next.run()} />
    </Card>
  );
}
