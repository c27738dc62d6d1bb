import type { Static } from '@sinclair/typebox';
import type { AccountDevicesSchema } from '../../../features/admin/users/account-schemas.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty } from '../../foundation/components/notice.js';
import { Card } from '../../foundation/components/view.js';
import { formatAgo, formatCount } from '../../foundation/format.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { DeviceBadges } from '../devices/device-badges.js';
import { api } from '../session.js';

type Devices = Static<typeof AccountDevicesSchema>;

/** Shows the devices that are linked to an account. */
export function PersonDevices({ id, round }: { readonly id: string; readonly round: number }) {
  const loaded = useLoad((signal) => api.get<Devices>(`admin/users/${id}/devices`, {}, signal), [id, round]);
  return (
    <Card title={t('admin.people.devices')}>
      <LoadedTable
        from={loaded}
        toRows={({ devices }) => devices}
        none={<Empty title={t('admin.people.noDevices')} />}
        caption={t('admin.people.devices')}
        rowKey={(device) => device.id}
        columns={[
          {
            key: 'name',
            label: t('admin.devices.name'),
            heads: true,
            cell: (device) => (
              <span class="name">
                <a href={toHref(`/devices/${device.id}`)}>{device.name}</a> <DeviceBadges device={device} />
              </span>
            ),
          },
          {
            key: 'remaining',
            label: t('admin.balance.left'),
            numeric: true,
            cell: ({ remaining }) => formatCount(remaining),
          },
          { key: 'used', label: t('admin.balance.used'), numeric: true, cell: ({ used }) => formatCount(used) },
          {
            key: 'seen',
            label: t('admin.devices.registered'),
            cell: (device) => formatAgo(device.last_registered_at),
          },
        ]}
      />
    </Card>
  );
}
