import { Empty } from '../../foundation/components/notice.js';
import { View } from '../../foundation/components/view.js';
import { plural, rich, t } from '../../foundation/text/text.js';
import type { BulkAct } from '../bulk/bulk-act.js';
import { ListCard } from '../list/list-card.js';
import { api } from '../session.js';
import { type Device, type Devices, deviceColumns } from './device-columns.js';

const FILTERS = ['near_limit', 'blocked', 'idle', 'unlinked'] as const;
const ACTS = [
  { name: 'allocate', field: 'tokens', moves: true },
  { name: 'block' },
  { name: 'unblock' },
  { name: 'rotate' },
  { name: 'remove', moves: true, isDangerous: true },
] as const satisfies readonly BulkAct[];

function NoDevices() {
  return (
    <Empty title={t('admin.devices.none')}>
      <p>
        {rich('admin.devices.noneLead', {
          call: <code>POST /api/devices/register</code>,
          docs: <a href="docs">{t('usage.nothingDocs')}</a>,
        })}
      </p>
    </Empty>
  );
}

/** Shows the devices: searched, filtered and sorted by the server, page by page. */
export function DevicesView() {
  return (
    <View title={t('admin.devices.title')} lead={t('admin.devices.lead')}>
      <ListCard<Device, (typeof ACTS)[number]['name']>
        kind="device"
        caption={t('admin.devices.title')}
        filters={FILTERS.map((value) => ({ value, label: t(`admin.devices.filters.${value}`) }))}
        toColumns={deviceColumns}
        load={async (query, signal) => {
          const read = await api.get<Devices>('admin/devices', query, signal);
          return { rows: read.devices, next: read.next_cursor, count: read.count };
        }}
        toCount={(count) => plural('admin.devices.count', count)}
        acts={ACTS}
        toLabel={(name) => t(`admin.devices.bulk.${name}`)}
        toTitle={(name) => t(`admin.devices.bulkTitles.${name}`)}
        none={<NoDevices />}
      />
    </View>
  );
}
