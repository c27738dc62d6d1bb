import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { DeliveriesSchema } from '../../../features/webhooks/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Select } from '../../foundation/components/choice.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Badge, Empty, Failure } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDateTime } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { toHref } from '../../foundation/router/router.js';
import type { ViewProps } from '../../foundation/router/views.js';
import { findText, t } from '../../foundation/text/text.js';
import { More } from '../list/more.js';
import { usePages } from '../list/use-pages.js';
import { api, mayAct } from '../session.js';

type Deliveries = Static<typeof DeliveriesSchema>;
type Delivery = Deliveries['deliveries'][number];
const STATUSES = ['pending', 'delivered', 'failed'] as const;
const TONES = new Map([
  ['delivered', 'good'],
  ['failed', 'bad'],
] as const);

function Status({ delivery: { status, response_status, failure } }: { readonly delivery: Delivery }) {
  const tone = status === 'delivered' || status === 'failed' ? TONES.get(status) : undefined;
  return (
    <>
      <Badge tone={tone ?? 'plain'}>{findText(`admin.webhooks.statuses.${status}`) ?? status}</Badge>{' '}
      <span class="quiet">{failure ?? response_status ?? ''}</span>
    </>
  );
}

/** Shows what an address was sent or waits for, and sends it again. */
export function DeliveriesView({ names: { id = '' } }: ViewProps) {
  const [status, setStatus] = useState<(typeof STATUSES)[number] | ''>('');
  const pages = usePages<Delivery>(
    async (cursor, signal) => {
      const read = await api.get<Deliveries>(`admin/webhooks/${id}/deliveries`, { status, cursor, limit: 50 }, signal);
      return { rows: read.deliveries, next: read.next_cursor };
    },
    [id, status],
  );
  const again = useAction(async (delivery: number) => {
    await api.post(`admin/webhooks/${id}/deliveries/${delivery}/redeliver`);
    announce(t('admin.webhooks.resent'));
    pages.reload();
  });
  const acts: Column<Delivery> = {
    key: 'acts',
    label: t('admin.list.actions'),
    acts: true,
    cell: (delivery) =>
      delivery.status !== 'pending' && (
        <Button
          label={t('admin.webhooks.resendLabel', { event: delivery.type })}
          busy={again.busy}
          onClick={() => void again.run(delivery.id)}
        >
          {t('admin.webhooks.resend')}
        </Button>
      ),
  };
  const columns: readonly Column<Delivery>[] = [
    { key: 'type', label: t('admin.webhooks.event'), cell: ({ type }) => <code>{type}</code>, heads: true },
    {
      key: 'at',
      label: t('admin.ledger.when'),
      cell: (one) => <span class="keep">{formatDateTime(one.occurred_at)}</span>,
    },
    { key: 'status', label: t('admin.invitations.standing'), cell: (one) => <Status delivery={one} /> },
    { key: 'attempts', label: t('admin.webhooks.attempts'), cell: (one) => formatCount(one.attempts), numeric: true },
    ...(mayAct.value ? [acts] : []),
  ];
  return (
    <View
      title={t('admin.webhooks.deliveries')}
      lead={<a href={toHref('/webhooks')}>{t('admin.nav.webhooks')}</a>}
      actions={<Button onClick={pages.reload}>{t('admin.refresh')}</Button>}
    >
      <Card>
        <div class="stack">
          <div class="toolbar">
            <Select
              label={t('admin.list.show')}
              value={status}
              options={[
                { value: '', label: t('admin.list.all') },
                ...STATUSES.map((value) => ({ value, label: t(`admin.webhooks.statuses.${value}`) })),
              ]}
              onValue={setStatus}
            />
          </div>
          <Failure failure={again.failure} />
          <LoadedTable
            from={pages.first}
            toRows={() => pages.rows}
            none={<Empty title={t('admin.list.none')} />}
            caption={t('admin.webhooks.deliveries')}
            columns={columns}
            rowKey={(one) => String(one.id)}
          />
          <More pages={pages} />
        </div>
      </Card>
    </View>
  );
}
