import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { AccountSessionsSchema } from '../../../features/admin/users/account-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { nameProgram, sessionColumns } from '../../foundation/credentials/session-columns.js';
import { formatAgo, formatDate } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';
import { ConfirmAct } from '../acts/confirm-act.js';
import { More } from '../list/more.js';
import { usePages } from '../list/use-pages.js';
import { api, mayAct } from '../session.js';

type Sessions = Static<typeof AccountSessionsSchema>;
type Session = Sessions['sessions'][number];

/** Names a session by its program and address, as far as they are known. */
const describe = ({ user_agent, address }: Session): string =>
  [nameProgram(user_agent), address].filter((part) => part !== null).join(', ');

function toColumns(onEnd: (session: Session) => void): readonly Column<Session>[] {
  const acts: Column<Session> = {
    key: 'acts',
    label: t('admin.list.actions'),
    acts: true,
    cell: (session) => (
      <Button label={t('admin.people.endSessionLabel', { name: describe(session) })} onClick={() => onEnd(session)}>
        {t('admin.people.endSession')}
      </Button>
    ),
  };
  return [
    ...sessionColumns<Session>(),
    { key: 'since', label: t('admin.account.since'), cell: (session) => formatAgo(session.created_at) },
    { key: 'used', label: t('admin.devices.lastUse'), cell: (session) => formatAgo(session.last_used_at) },
    { key: 'until', label: t('admin.people.expires'), cell: (session) => formatDate(session.expires_at) },
    ...(mayAct.value ? [acts] : []),
  ];
}

/** Shows where a person is signed in, and ends single sessions. */
export function PersonSessions({
  id,
  round,
  onEnded,
}: {
  readonly id: string;
  readonly round: number;
  readonly onEnded: () => void;
}) {
  const pages = usePages<Session>(
    async (cursor, signal) => {
      const read = await api.get<Sessions>(`admin/users/${id}/sessions`, { cursor, limit: 20 }, signal);
      return { rows: read.sessions, next: read.next_cursor };
    },
    [id, round],
  );
  const [ending, setEnding] = useState<Session | undefined>();
  return (
    <Card title={t('admin.people.sessions')}>
      <LoadedTable
        from={pages.first}
        toRows={() => pages.rows}
        none={<Empty title={t('admin.people.noSessions')} />}
        caption={t('admin.people.sessions')}
        columns={toColumns(setEnding)}
        rowKey={(session) => session.id}
      />
      <More pages={pages} />
      {ending !== undefined && (
        <ConfirmAct
          title={t('admin.people.endSessionTitle')}
          submit={t('admin.people.endSession')}
          act={async () => {
            await api.delete(`admin/users/${id}/sessions/${ending.id}`);
            return t('admin.people.said.session');
          }}
          onDone={onEnded}
          onClose={() => setEnding(undefined)}
        >
          <p>{t('admin.people.endSessionLead', { name: describe(ending) })}</p>
        </ConfirmAct>
      )}
    </Card>
  );
}
