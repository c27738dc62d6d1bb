import type { Static } from '@sinclair/typebox';
import type { AccountsSchema } from '../../../features/admin/users/user-schemas.js';
import { Address } from '../../foundation/components/address.js';
import type { Column } from '../../foundation/components/table.js';
import { formatAgo, formatCount, formatDate } from '../../foundation/format.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { balanceColumns } from '../list/balance-columns.js';
import { NameCell } from '../list/name-cell.js';
import type { Selection } from '../list/use-selection.js';
import { PersonBadges } from './person-badges.js';

export type People = Static<typeof AccountsSchema>;
export type Listed = People['users'][number];

/** Returns the columns of the list of people; without a selection rows cannot be selected. */
export function peopleColumns(selection: Selection | undefined): readonly Column<Listed>[] {
  return [
    {
      key: 'email',
      label: t('admin.people.email'),
      sortable: true,
      heads: true,
      cell: (person) => (
        <NameCell {...(selection !== undefined && { selection, id: person.id, name: person.email })} note={person.name}>
          <a href={toHref(`/people/${person.id}`)}>
            <Address email={person.email} />
          </a>{' '}
          <PersonBadges person={person} />
        </NameCell>
      ),
    },
    {
      key: 'tier',
      label: t('admin.people.plan'),
      cell: ({ tier }) => <span class="keep">{t(`admin.plans.tiers.${tier}`)}</span>,
    },
    ...balanceColumns<Listed>((person) => ({
      allocated: person.total_tokens,
      used: person.tokens_used,
      reserved: person.tokens_reserved,
      remaining: person.tokens_left,
    })),
    { key: 'devices', label: t('admin.nav.devices'), numeric: true, cell: ({ devices }) => formatCount(devices) },
    {
      key: 'lastUse',
      label: t('admin.devices.lastUse'),
      cell: ({ last_used_at }) => (
        <span class="keep">{last_used_at === null ? t('admin.never') : formatAgo(last_used_at)}</span>
      ),
    },
    {
      key: 'created',
      label: t('admin.people.since'),
      sortable: true,
      cell: ({ created_at }) => <span class="keep">{formatDate(created_at)}</span>,
    },
  ];
}
