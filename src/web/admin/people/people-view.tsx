import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Empty } from '../../foundation/components/notice.js';
import { View } from '../../foundation/components/view.js';
import { toHref } from '../../foundation/router/router.js';
import { plural, rich, t } from '../../foundation/text/text.js';
import type { BulkAct } from '../bulk/bulk-act.js';
import { ListCard } from '../list/list-card.js';
import { api, mayAct } from '../session.js';
import { useOff } from '../settings/off-notice.js';
import { CreateDialog } from './create-dialog.js';
import { type Listed, type People, peopleColumns } from './people-columns.js';

const FILTERS = ['near_limit', 'suspended', 'unverified', 'subscribed', 'idle'] as const;
const ACTS = [
  { name: 'allocate', field: 'tokens', moves: true },
  { name: 'plan', field: 'tier' },
  { name: 'end_sessions', field: 'api_keys' },
  { name: 'suspend', isDangerous: true },
  { name: 'unsuspend' },
] as const satisfies readonly BulkAct[];

function Nobody() {
  return (
    <Empty title={t('admin.people.none')}>
      <p>
        {rich('admin.people.noneLead', {
          invite: <a href={toHref('/invitations')}>{t('admin.people.noneInvite')}</a>,
          settings: <a href={toHref('/settings')}>{t('admin.people.noneSettings')}</a>,
        })}
      </p>
    </Empty>
  );
}

/** Shows the accounts: searched, filtered and sorted by the server, page by page. */
export function PeopleView() {
  const mailOff = useOff('mail');
  const [creating, setCreating] = useState(false);
  return (
    <View
      title={t('admin.people.title')}
      lead={t('admin.people.lead')}
      actions={mayAct.value && <Button onClick={() => setCreating(true)}>{t('admin.people.create')}</Button>}
    >
      <ListCard<Listed, (typeof ACTS)[number]['name']>
        kind="user"
        caption={t('admin.people.title')}
        filters={FILTERS.map((value) => ({ value, label: t(`admin.people.filters.${value}`) }))}
        toColumns={peopleColumns}
        load={async (query, signal) => {
          const read = await api.get<People>('admin/users', query, signal);
          return { rows: read.users, next: read.next_cursor, count: read.count };
        }}
        toCount={(count) => plural('admin.people.count', count)}
        acts={ACTS}
        toLabel={(name) => t(`admin.people.bulk.${name}`)}
        toTitle={(name) => t(`admin.people.bulkTitles.${name}`)}
        none={<Nobody />}
      />
      {creating && <CreateDialog mailOff={mailOff} onClose={() => setCreating(false)} />}
    </View>
  );
}
