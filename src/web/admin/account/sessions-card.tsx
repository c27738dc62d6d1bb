import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { OwnSessionsSchema } from '../../../features/admin/session/session-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Failure } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { sessionColumns } from '../../foundation/credentials/session-columns.js';
import { formatAgo } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { t } from '../../foundation/text/text.js';
import { api, signOut } from '../session.js';

type Sessions = Static<typeof OwnSessionsSchema>;
type Session = Sessions[number];

/** Shows where the admin is signed in, and ends sessions. */
export function SessionsCard() {
  const loaded = useLoad((signal) => api.get<Sessions>('admin/sessions', {}, signal), []);
  const [ending, setEnding] = useState('');
  const end = useAction(async (id: string) => {
    setEnding(id);
    await api.delete(`admin/sessions/${id}`);
    announce(t('admin.account.ended'));
    loaded.reload();
  });
  const leave = useAction(() => signOut(true));
  const columns: readonly Column<Session>[] = [
    ...sessionColumns<Session>(),
    { key: 'since', label: t('admin.account.since'), cell: (session) => formatAgo(session.created_at) },
    { key: 'until', label: t('admin.people.expires'), cell: (session) => formatAgo(session.expires_at) },
    {
      key: 'acts',
      label: t('admin.list.actions'),
      acts: true,
      cell: ({ id, current, address }) =>
        !current && (
          <Button
            label={t('admin.account.endLabel', { address: address ?? '' })}
            busy={end.busy && ending === id}
            onClick={() => void end.run(id)}
          >
            {t('admin.account.end')}
          </Button>
        ),
    },
  ];
  return (
    <Card
      title={t('admin.people.sessions')}
      actions={
        <Button busy={leave.busy} onClick={() => void leave.run()}>
          {t('admin.account.endAll')}
        </Button>
      }
    >
      <Failure failure={end.failure} />
      <LoadedTable
        from={loaded}
        toRows={(sessions) => sessions}
        none={null}
        caption={t('admin.people.sessions')}
        columns={columns}
        rowKey={({ id }) => id}
      />
    </Card>
  );
}
