import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Meter } from '../../foundation/components/meter.js';
import { Badge, Empty, Failure } from '../../foundation/components/notice.js';
import { Pager } from '../../foundation/components/pager.js';
import type { Column } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';
import { type OwnDevice, useOwnDevices } from '../devices/own-devices.js';

const listColumns = (): readonly Column<OwnDevice>[] => [
  {
    key: 'name',
    label: t('devices.name'),
    cell: ({ name, blocked }) => (
      <>
        {name} {blocked && <Badge tone="bad">{t('devices.blocked')}</Badge>}
      </>
    ),
    heads: true,
  },
  {
    key: 'remaining',
    label: t('tokens.leftColumn'),
    cell: ({ remaining, used, reserved, allocated }) => (
      <span>
        {formatCount(remaining)}
        <Meter used={used} reserved={reserved} all={allocated} />
      </span>
    ),
    numeric: true,
  },
  { key: 'used', label: t('tokens.used'), cell: ({ used }) => formatCount(used), numeric: true },
  { key: 'allocated', label: t('tokens.granted'), cell: ({ allocated }) => formatCount(allocated), numeric: true },
];

/** Shows the balances of the devices: what their extension asks before each prompt. @param props.round changes when all is loaded again */
export function DeviceBalances({ round }: { readonly round: number }) {
  const pages = useOwnDevices(round);
  return (
    <Card title={t('tokens.devices')} lead={t('tokens.devicesLead')}>
      <LoadedTable
        from={pages.from}
        toRows={() => pages.rows}
        none={
          <Empty title={t('devices.none')}>
            <p>{t('devices.noneLead')}</p>
          </Empty>
        }
        caption={t('tokens.devices')}
        columns={listColumns()}
        rowKey={({ id }) => id}
      />
      <Failure failure={pages.next.failure} />
      <Pager more={pages.more} busy={pages.next.busy} onMore={() => void pages.next.run()} />
    </Card>
  );
}
