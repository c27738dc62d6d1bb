import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { ConfirmByTyping } from '../../foundation/components/dialog.js';
import { Loads } from '../../foundation/components/loads.js';
import { Badge } from '../../foundation/components/notice.js';
import { type Column, Table } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDate } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { t } from '../../foundation/text/text.js';
import { RowActions } from '../prices/row-actions.js';
import { api, me } from '../session.js';
import type { Admin, Admins } from './admin.js';
import { AdminDialog } from './admin-dialog.js';

function RemoveDialog({ admin, onDone, onClose }: { admin: Admin; onDone: () => void; onClose: () => void }) {
  const action = useAction(async () => {
    await api.delete(`admin/admins/${admin.id}`);
    announce(t('admin.admins.saidRemove', { name: admin.username }));
    onDone();
  });
  return (
    <ConfirmByTyping
      title={t('admin.admins.removeTitle')}
      word={admin.username}
      action={action}
      submit={t('admin.list.remove')}
      onClose={onClose}
    >
      <p>{t('admin.admins.removeLead')}</p>
    </ConfirmByTyping>
  );
}

function toColumns(onChange: (admin: Admin) => void, onRemove: (admin: Admin) => void): readonly Column<Admin>[] {
  return [
    {
      key: 'name',
      label: t('admin.signIn.username'),
      heads: true,
      cell: ({ id, username }) => (
        <span class="name">
          {username} {id === me.value?.id && <Badge>{t('admin.admins.you')}</Badge>}
        </span>
      ),
    },
    { key: 'role', label: t('admin.admins.role'), cell: ({ role }) => t(`admin.admins.roles.${role}`) },
    {
      key: 'factor',
      label: t('secondFactor.title'),
      cell: (admin) =>
        admin.second_factor ? (
          <Badge tone="good">{t('admin.settings.on')}</Badge>
        ) : (
          <Badge>{t('admin.settings.off')}</Badge>
        ),
    },
    {
      key: 'sessions',
      label: t('admin.people.sessions'),
      cell: ({ sessions }) => formatCount(sessions),
      numeric: true,
    },
    { key: 'since', label: t('admin.people.since'), cell: (admin) => formatDate(admin.created_at) },
    {
      key: 'acts',
      label: t('admin.list.actions'),
      acts: true,
      cell: (admin) => (
        <RowActions name={admin.username} onChange={() => onChange(admin)} onRemove={() => onRemove(admin)} />
      ),
    },
  ];
}

/** Shows who may use this console, to owners, and manages them. */
export function AdminsView() {
  const loaded = useLoad((signal) => api.get<Admins>('admin/admins', {}, signal), []);
  const [changing, setChanging] = useState<Admin | 'new' | undefined>();
  const [removing, setRemoving] = useState<Admin | undefined>();
  return (
    <View
      title={t('admin.nav.admins')}
      lead={t('admin.admins.lead')}
      actions={
        <Button kind="primary" onClick={() => setChanging('new')}>
          {t('admin.admins.add')}
        </Button>
      }
    >
      <Card>
        <Loads from={loaded}>
          {({ admins }) => (
            <Table
              caption={t('admin.nav.admins')}
              captionHidden
              columns={toColumns(setChanging, setRemoving)}
              rows={admins}
              rowKey={({ id }) => id}
            />
          )}
        </Loads>
      </Card>
      {changing !== undefined && (
        <AdminDialog
          admin={changing === 'new' ? undefined : changing}
          onDone={loaded.reload}
          onClose={() => setChanging(undefined)}
        />
      )}
      {removing !== undefined && (
        <RemoveDialog admin={removing} onDone={loaded.reload} onClose={() => setRemoving(undefined)} />
      )}
    </View>
  );
}
