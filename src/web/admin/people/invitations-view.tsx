import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { InvitationsSchema } from '../../../features/admin/invitations/invitation-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Confirm } from '../../foundation/components/dialog.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Badge, Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDate } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { More } from '../list/more.js';
import { usePages } from '../list/use-pages.js';
import { api, mayAct } from '../session.js';
import { Off, useOff } from '../settings/off-notice.js';
import { InviteDialog } from './invite-dialog.js';

type Invitations = Static<typeof InvitationsSchema>;
type Invitation = Invitations['invitations'][number];

function Standing({ invitation }: { readonly invitation: Invitation }) {
  if (invitation.redeemed_by !== null) {
    return <a href={toHref(`/people/${invitation.redeemed_by}`)}>{t('admin.invitations.used')}</a>;
  }
  if (invitation.redeemed_at !== null) return <Badge>{t('admin.invitations.used')}</Badge>;
  const isOver = Date.parse(invitation.expires_at) < Date.now();
  return isOver ? (
    <Badge>{t('admin.invitations.expired')}</Badge>
  ) : (
    <Badge tone="good">{t('admin.invitations.open')}</Badge>
  );
}

function TakeBack({
  invitation,
  onDone,
  onClose,
}: {
  invitation: Invitation;
  onDone: () => void;
  onClose: () => void;
}) {
  const action = useAction(async () => {
    await api.delete(`admin/invitations/${invitation.id}`);
    announce(t('admin.invitations.takenBack'));
    onDone();
  });
  return (
    <Confirm
      title={t('admin.invitations.takeBackTitle')}
      action={action}
      submit={t('admin.invitations.takeBack')}
      onClose={onClose}
    >
      <p>{t('admin.invitations.takeBackLead')}</p>
    </Confirm>
  );
}

function toColumns(onTakeBack: (invitation: Invitation) => void): readonly Column<Invitation>[] {
  const acts: Column<Invitation> = {
    key: 'acts',
    label: t('admin.list.actions'),
    acts: true,
    cell: (invitation) =>
      invitation.redeemed_at === null && (
        <Button
          label={t('admin.invitations.takeBackLabel', { email: invitation.email ?? t('admin.invitations.anybody') })}
          onClick={() => onTakeBack(invitation)}
        >
          {t('admin.invitations.takeBack')}
        </Button>
      ),
  };
  return [
    {
      key: 'email',
      label: t('admin.invitations.for'),
      cell: ({ email }) => email ?? t('admin.invitations.anybody'),
      heads: true,
    },
    { key: 'standing', label: t('admin.invitations.standing'), cell: (one) => <Standing invitation={one} /> },
    {
      key: 'tokens',
      label: t('admin.moves.tokens'),
      cell: ({ tokens }) => (tokens === null ? t('admin.invitations.default') : formatCount(tokens)),
      numeric: true,
    },
    { key: 'by', label: t('admin.ledger.who'), cell: (one) => one.created_by },
    { key: 'expires', label: t('admin.people.expires'), cell: (one) => formatDate(one.expires_at) },
    ...(mayAct.value ? [acts] : []),
  ];
}

/** Shows the invitations, makes new ones and takes them back. */
export function InvitationsView() {
  const mailOff = useOff('mail');
  const [inviting, setInviting] = useState(false);
  const [leaving, setLeaving] = useState<Invitation | undefined>();
  const pages = usePages<Invitation>(async (cursor, signal) => {
    const read = await api.get<Invitations>('admin/invitations', { cursor, limit: 50 }, signal);
    return { rows: read.invitations, next: read.next_cursor };
  }, []);
  return (
    <View
      title={t('admin.invitations.title')}
      lead={t('admin.invitations.lead')}
      actions={
        mayAct.value && (
          <Button kind="primary" onClick={() => setInviting(true)}>
            {t('admin.invitations.invite')}
          </Button>
        )
      }
    >
      <Off capability={mailOff} />
      <Card>
        <LoadedTable
          from={pages.first}
          toRows={() => pages.rows}
          none={
            <Empty title={t('admin.invitations.none')}>
              <p>{t('admin.invitations.noneLead')}</p>
            </Empty>
          }
          caption={t('admin.invitations.title')}
          columns={toColumns(setLeaving)}
          rowKey={({ id }) => id}
        />
        <More pages={pages} />
      </Card>
      {inviting && (
        <InviteDialog isMailOff={mailOff !== undefined} onDone={pages.reload} onClose={() => setInviting(false)} />
      )}
      {leaving !== undefined && (
        <TakeBack invitation={leaving} onDone={pages.reload} onClose={() => setLeaving(undefined)} />
      )}
    </View>
  );
}
