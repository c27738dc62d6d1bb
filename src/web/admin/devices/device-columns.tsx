import type { Static } from '@sinclair/typebox';
import type { DevicesSchema } from '../../../features/admin/devices/device-list-schemas.js';
import type { Column } from '../../foundation/components/table.js';
import { formatAgo, formatCount } from '../../foundation/format.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { balanceColumns } from '../list/balance-columns.js';
import { NameCell } from '../list/name-cell.js';
import type { Selection } from '../list/use-selection.js';
import { DeviceBadges } from './device-badges.js';

export type Devices = Static<typeof DevicesSchema>;
export type Device = Devices['devices'][number];

/** Returns the columns of the list of devices; without a selection rows cannot be selected. */
export function deviceColumns(selection: Selection | undefined): readonly Column<Device>[] {
  return [
    {
      key: 'name',
      label: t('admin.devices.name'),
      sortable: true,
      heads: true,
      cell: (device) => (
        <NameCell
          {...(selection !== undefined && { selection, id: device.id, name: device.name })}
          note={device.user_email ?? t('admin.devices.unlinked')}
        >
          <a href={toHref(`/devices/${device.id}`)}>{device.name}</a> <DeviceBadges device={device} />
        </NameCell>
      ),
    },
    ...balanceColumns<Device>((device) => device),
    {
      key: 'allocated',
      label: t('admin.balance.allocated'),
      numeric: true,
      sortable: true,
      cell: ({ allocated }) => formatCount(allocated),
    },
    {
      key: 'last_seen',
      label: t('admin.devices.lastSeen'),
      sortable: true,
      cell: ({ last_seen }) => <span class="keep">{formatAgo(last_seen)}</span>,
    },
  ];
}
