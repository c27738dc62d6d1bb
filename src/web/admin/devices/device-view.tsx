import { useState } from 'preact/hooks';
import { Facts } from '../../foundation/components/facts.js';
import { Loads } from '../../foundation/components/loads.js';
import { Badge, Empty } from '../../foundation/components/notice.js';
import { Table } from '../../foundation/components/table.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatAgo, formatCount, formatDateTime } from '../../foundation/format.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { toHref } from '../../foundation/router/router.js';
import type { ViewProps } from '../../foundation/router/views.js';
import { plural, t } from '../../foundation/text/text.js';
import { Acts } from '../acts/acts.js';
import { BalanceCard } from '../moves/balance-card.js';
import { LedgerCard } from '../moves/ledger-card.js';
import { api, mayAct } from '../session.js';
import { usageColumns } from '../usage/usage-columns.js';
import { UsesCard } from '../usage/uses-card.js';
import { DEVICE_ACTS } from './device-actions.js';
import { DeviceBadges } from './device-badges.js';
import type { DeviceDetail } from './device-detail.js';

function About({ device }: { readonly device: DeviceDetail }) {
  const { user, period } = device;
  return (
    <Card title={t('admin.devices.about')}>
      <Facts
        facts={[
          [
            t('admin.devices.owner'),
            user === null ? t('admin.devices.nobody') : <a href={toHref(`/people/${user.id}`)}>{user.email}</a>,
          ],
          [t('admin.devices.firstSeen'), formatDateTime(device.created_at)],
          [
            t('admin.devices.registered'),
            plural('admin.devices.times', device.registrations, { time: formatAgo(device.last_registered_at) }),
          ],
          [
            t('admin.devices.lastUse'),
            device.last_used_at === null ? t('admin.never') : formatAgo(device.last_used_at),
          ],
          [t('admin.devices.proof'), t(device.has_secret ? 'admin.devices.hasSecret' : 'admin.devices.noSecret')],
          [t('admin.budget.period'), String(period)],
          [t('admin.id'), <code key="id">{device.device_id}</code>],
        ]}
      />
    </Card>
  );
}

function Models({ device }: { readonly device: DeviceDetail }) {
  return (
    <Card title={t('admin.devices.thisMonth')}>
      {device.usage_this_month.length === 0 ? (
        <Empty title={t('admin.usage.none')} />
      ) : (
        <Table
          caption={t('admin.devices.thisMonth')}
          captionHidden
          rows={device.usage_this_month}
          rowKey={({ model }) => model}
          columns={[
            { key: 'model', label: t('admin.usage.by.model'), cell: ({ model }) => model, heads: true },
            ...usageColumns(['prompts', 'cost']),
          ]}
        />
      )}
    </Card>
  );
}

function Periods({ device }: { readonly device: DeviceDetail }) {
  if (device.periods.length === 0) return null;
  return (
    <Card title={t('admin.devices.periods')}>
      <Table
        caption={t('admin.devices.periods')}
        captionHidden
        rows={device.periods}
        rowKey={({ period }) => String(period)}
        columns={[
          {
            key: 'period',
            label: t('admin.budget.period'),
            cell: ({ period }) => <a href={toHref(`/budget/${period}`)}>{period}</a>,
            heads: true,
          },
          { key: 'used', label: t('admin.balance.used'), cell: ({ used }) => formatCount(used), numeric: true },
          {
            key: 'allocated',
            label: t('admin.balance.allocated'),
            cell: ({ allocated }) => formatCount(allocated),
            numeric: true,
          },
        ]}
      />
    </Card>
  );
}

/** Shows a device: its balance with every change, its uses, and what can be done with it. */
export function DeviceView({ names: { id = '' } }: ViewProps) {
  const [round, setRound] = useState(0);
  const loaded = useLoad((signal) => api.get<DeviceDetail>(`admin/devices/${id}`, {}, signal), [id, round]);
  const renew = () => setRound((count) => count + 1);
  const device = loaded.data;
  return (
    <View
      title={device?.name ?? t('admin.devices.single')}
      lead={
        <>
          <a href={toHref('/devices')}>{t('admin.devices.title')}</a>{' '}
          {device !== undefined && <DeviceBadges device={device} />}
          {device?.user === null && <Badge>{t('admin.devices.unlinked')}</Badge>}
        </>
      }
      actions={device !== undefined && mayAct.value && <Acts acts={DEVICE_ACTS} subject={device} onDone={renew} />}
    >
      <Loads from={loaded}>
        {(found) => (
          <>
            <div class="cards">
              <BalanceCard title={t('admin.balance.title')} balance={found} />
              <About device={found} />
            </div>
            <LedgerCard kind="device" id={id} round={round} onUndone={renew} />
            <div class="cards">
              <Models device={found} />
              <Periods device={found} />
            </div>
            <UsesCard query={{ device: id }} />
          </>
        )}
      </Loads>
    </View>
  );
}
