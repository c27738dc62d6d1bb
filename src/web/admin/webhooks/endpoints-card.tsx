import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { WebhooksSchema } from '../../../features/webhooks/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Confirm } from '../../foundation/components/dialog.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Badge, Empty, Failure } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { type Action, useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { toHref } from '../../foundation/router/router.js';
import { plural, t } from '../../foundation/text/text.js';
import { api, isOwner, mayAct } from '../session.js';
import { EndpointDialog } from './endpoint-dialog.js';

type Webhooks = Static<typeof WebhooksSchema>;
export type Endpoint = Webhooks['webhooks'][number];

function Standing({ endpoint: { disabled_at, failed, pending } }: { readonly endpoint: Endpoint }) {
  if (disabled_at !== null) return <Badge tone="bad">{t('admin.webhooks.disabled')}</Badge>;
  if (failed > 0) return <Badge tone="warning">{plural('admin.webhooks.failed', failed)}</Badge>;
  if (pending > 0) return <Badge>{plural('admin.webhooks.pending', pending)}</Badge>;
  return <Badge tone="good">{t('admin.webhooks.fine')}</Badge>;
}

function RemoveDialog({ endpoint, onDone, onClose }: { endpoint: Endpoint; onDone: () => void; onClose: () => void }) {
  const action = useAction(async () => {
    await api.delete(`admin/webhooks/${endpoint.id}`);
    announce(t('admin.webhooks.saidRemove'));
    onDone();
  });
  return (
    <Confirm title={t('admin.webhooks.removeTitle')} action={action} submit={t('admin.list.remove')} onClose={onClose}>
      <p>{t('admin.webhooks.removeLead', { url: endpoint.url })}</p>
    </Confirm>
  );
}

function toColumns(test: Action<[Endpoint]>, onRemove: (endpoint: Endpoint) => void): readonly Column<Endpoint>[] {
  return [
    {
      key: 'url',
      label: t('admin.webhooks.url'),
      heads: true,
      cell: ({ id, url, description }) => (
        <span class="name">
          <a href={toHref(`/webhooks/${id}`)}>{url}</a>
          <small>{description ?? ''}</small>
        </span>
      ),
    },
    { key: 'events', label: t('admin.webhooks.events'), cell: ({ events }) => events.join(', ') },
    { key: 'standing', label: t('admin.invitations.standing'), cell: (one) => <Standing endpoint={one} /> },
    {
      key: 'acts',
      label: t('admin.list.actions'),
      acts: true,
      cell: (endpoint) => (
        <>
          {mayAct.value && (
            <Button
              label={t('admin.webhooks.testLabel', { url: endpoint.url })}
              busy={test.busy}
              onClick={() => void test.run(endpoint)}
            >
              {t('admin.webhooks.test')}
            </Button>
          )}
          {isOwner.value && (
            <Button label={t('admin.list.removeLabel', { name: endpoint.url })} onClick={() => onRemove(endpoint)}>
              {t('admin.list.remove')}
            </Button>
          )}
        </>
      ),
    },
  ];
}

/** Shows the addresses events are sent to, and whether they take them. */
export function EndpointsCard() {
  const loaded = useLoad((signal) => api.get<Webhooks>('admin/webhooks', {}, signal), []);
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<Endpoint | undefined>();
  const test = useAction(async ({ id, url }: Endpoint) => {
    await api.post(`admin/webhooks/${id}/test`);
    announce(t('admin.webhooks.tested', { url }));
    loaded.reload();
  });
  return (
    <Card
      title={t('admin.webhooks.title')}
      lead={t('admin.webhooks.cardLead')}
      actions={isOwner.value && <Button onClick={() => setAdding(true)}>{t('admin.webhooks.add')}</Button>}
    >
      <Failure failure={test.failure} />
      <LoadedTable
        from={loaded}
        toRows={({ webhooks }) => webhooks}
        none={
          <Empty title={t('admin.webhooks.none')}>
            <p>{t('admin.webhooks.noneLead')}</p>
          </Empty>
        }
        caption={t('admin.webhooks.title')}
        columns={toColumns(test, setRemoving)}
        rowKey={({ id }) => id}
      />
      {adding && <EndpointDialog onDone={loaded.reload} onClose={() => setAdding(false)} />}
      {removing !== undefined && (
        <RemoveDialog endpoint={removing} onDone={loaded.reload} onClose={() => setRemoving(undefined)} />
      )}
    </Card>
  );
}
