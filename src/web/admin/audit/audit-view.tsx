import type { Static } from '@sinclair/typebox';
import type { AuditSchema } from '../../../features/admin/reports/audit-schemas.js';
import { Select } from '../../foundation/components/choice.js';
import { Field } from '../../foundation/components/field.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatDateTime } from '../../foundation/format.js';
import { route, setQuery, toHref } from '../../foundation/router/router.js';
import { findText, t } from '../../foundation/text/text.js';
import { More } from '../list/more.js';
import { SearchField } from '../list/search-field.js';
import { ShortId } from '../list/short-id.js';
import { usePages } from '../list/use-pages.js';
import { api } from '../session.js';
import { ACTIONS } from './actions.js';

type Audit = Static<typeof AuditSchema>;
type Entry = Audit['entries'][number];
const DAY_MS = 24 * 60 * 60 * 1_000;

const listActions = () => [
  { value: '', label: t('admin.list.all') },
  ...ACTIONS.map((value) => ({ value, label: t(`admin.audit.actions.${value}`) })),
];

/** Where the view of what an entry is about is, by what stands before the colon. */
const VIEWS: Readonly<Record<string, string>> = { device: '/devices', user: '/people' };

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Shows who or what an entry names: a device or an account by a link, what else has an id by its beginning. */
function Named({ name }: { readonly name: string | null }) {
  if (name === null) return <>–</>;
  const [kind = '', ...rest] = name.split(':');
  const id = rest.join(':');
  const label = findText(`admin.audit.targets.${kind}`);
  if (label === undefined || id === '') return <span class="breaks">{name}</span>;
  const shown = UUID.test(id) ? <ShortId id={id} /> : <span class="breaks">{id}</span>;
  const view = VIEWS[kind];
  if (view === undefined) {
    return (
      <span>
        {label} {shown}
      </span>
    );
  }
  return (
    <a href={toHref(`${view}/${id}`)}>
      {label} {shown}
    </a>
  );
}

/** Shows who did it, as one types it to find their entries; a person is a link. */
function Actor({ actor }: { readonly actor: string }) {
  return actor.startsWith('user:') ? <Named name={actor} /> : <span class="breaks">{actor}</span>;
}

/** Says what was done; what was written past the functions is named by its statement. */
function describe({ action, actor }: Entry): string {
  const known = findText(`admin.audit.actions.${action}`);
  if (known !== undefined) return known;
  return actor.startsWith('sql:') ? t('admin.audit.byHand', { action: action.replaceAll('_', ' ') }) : action;
}

function Details({ entry }: { readonly entry: Entry }) {
  const { before, after, request_id, address } = entry;
  if (before === null && after === null && address === null) return null;
  const write = (state: unknown) => JSON.stringify(state, null, 2);
  return (
    <details>
      <summary>{t('admin.audit.details')}</summary>
      {before !== null && (
        <>
          <p class="quiet">{t('admin.moves.before')}</p>
          <pre>{write(before)}</pre>
        </>
      )}
      {after !== null && (
        <>
          <p class="quiet">{t('admin.moves.after')}</p>
          <pre>{write(after)}</pre>
        </>
      )}
      <p class="quiet">
        {address ?? ''} {request_id ?? ''}
      </p>
    </details>
  );
}

const toColumns = (): readonly Column<Entry>[] => [
  {
    key: 'action',
    label: t('admin.audit.action'),
    cell: describe,
    heads: true,
  },
  { key: 'actor', label: t('admin.ledger.who'), cell: ({ actor }) => <Actor actor={actor} /> },
  { key: 'target', label: t('admin.audit.target'), cell: ({ target }) => <Named name={target} /> },
  {
    key: 'at',
    label: t('admin.ledger.when'),
    cell: (entry) => <span class="keep">{formatDateTime(entry.created_at)}</span>,
  },
  { key: 'details', label: t('admin.audit.details'), cell: (entry) => <Details entry={entry} /> },
];

/** Whether the address has a day there: it may have been written by hand. */
const isDay = (text: string): boolean => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));

/** The moment a day of the browser begins, and the next one. */
const startOf = (day: string) => (day === '' ? undefined : new Date(`${day}T00:00:00`).toISOString());
const endOf = (day: string) =>
  day === '' ? undefined : new Date(new Date(`${day}T00:00:00`).getTime() + DAY_MS).toISOString();

/** Shows who did what, narrowed by who, what, to what and when. */
export function AuditView() {
  const { query } = route.value;
  const read = (name: string) => query.get(name) ?? '';
  const [actor, action, target] = ['actor', 'action', 'target'].map(read);
  const [from, to] = ['from', 'to'].map((name) => (isDay(read(name)) ? read(name) : ''));
  const pages = usePages<Entry>(
    async (cursor, signal) => {
      const filter = { actor, action, target, from: startOf(from ?? ''), to: endOf(to ?? '') };
      const { entries, next_cursor } = await api.get<Audit>('admin/audit', { ...filter, cursor, limit: 50 }, signal);
      return { rows: entries, next: next_cursor };
    },
    [actor, action, target, from, to],
  );
  return (
    <View title={t('admin.audit.title')} lead={t('admin.audit.lead')}>
      <Card>
        <div class="stack">
          <search class="toolbar">
            <SearchField
              label={t('admin.ledger.who')}
              value={actor ?? ''}
              onSearch={(text) => setQuery({ actor: text })}
            />
            <Select
              label={t('admin.audit.action')}
              value={action ?? ''}
              options={listActions()}
              onValue={(name) => setQuery({ action: name })}
            />
            <SearchField
              label={t('admin.audit.target')}
              value={target ?? ''}
              onSearch={(text) => setQuery({ target: text })}
            />
            <Field
              type="date"
              label={t('admin.usage.from')}
              value={from ?? ''}
              onValue={(day) => setQuery({ from: day })}
            />
            <Field type="date" label={t('admin.usage.to')} value={to ?? ''} onValue={(day) => setQuery({ to: day })} />
          </search>
          <p class="quiet">{t('admin.audit.hint')}</p>
          <LoadedTable
            from={pages.first}
            toRows={() => pages.rows}
            none={<Empty title={t('admin.list.none')} />}
            caption={t('admin.audit.title')}
            compact
            columns={toColumns()}
            rowKey={({ id }) => String(id)}
          />
          <More pages={pages} />
        </div>
      </Card>
    </View>
  );
}
