import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { SessionSchema } from '../../../auth/sessions/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Confirm } from '../../foundation/components/dialog.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Failure } from '../../foundation/components/notice.js';
import { Pager } from '../../foundation/components/pager.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { sessionColumns } from '../../foundation/credentials/session-columns.js';
import { formatAgo, formatDate } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { api, forgetSession } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { leaving } from '../leaving.js';
import { usePages } from '../use-pages.js';

type Session = Static<typeof SessionSchema>;
interface List {
  readonly sessions: readonly Session[];
  readonly next_cursor: string | null;
}

const listColumns = (end: (session: Session) => void, busy: boolean): readonly Column<Session>[] => [
  ...sessionColumns<Session>(),
  { key: 'used', label: t('keys.lastUse'), cell: ({ last_used_at }) => formatAgo(last_used_at) },
  { key: 'since', label: t('profile.since'), cell: ({ created_at }) => formatDate(created_at) },
  {
    key: 'acts',
    label: t('common.actions'),
    acts: true,
    cell: (session) =>
      !session.current && (
        <Button busy={busy} onClick={() => end(session)}>
          {t('profile.endSession')}
        </Button>
      ),
  },
];

/** Shows where the person is signed in, and signs them out there. */
export function SessionsCard() {
  const [endingAll, setEndingAll] = useState(false);
  const pages = usePages<Session>(async (cursor, signal) => {
    const { sessions, next_cursor } = await api.get<List>('auth/sessions', { limit: 20, cursor }, signal);
    return { rows: sessions, next: next_cursor };
  }, []);
  const end = useAction(async ({ id }: Session) => {
    await api.delete(`auth/sessions/${id}`);
    announce(t('profile.sessionEnded'));
    pages.from.reload();
  });
  const endAll = useAction(async () => {
    await api.post('auth/logout', { all: true });
    leaving.value = 'signedOut';
    forgetSession();
  });
  return (
    <Card
      title={t('profile.sessions')}
      lead={t('profile.sessionsLead')}
      actions={<Button onClick={() => setEndingAll(true)}>{t('profile.endAll')}</Button>}
    >
      <Failure failure={end.failure} />
      <LoadedTable
        from={pages.from}
        toRows={() => pages.rows}
        none={null}
        caption={t('profile.sessions')}
        columns={listColumns((session) => void end.run(session), end.busy)}
        rowKey={({ id }) => id}
      />
      <Pager more={pages.more} busy={pages.next.busy} onMore={() => void pages.next.run()} />
      {endingAll && (
        <Confirm
          title={t('profile.endAll')}
          action={endAll}
          submit={t('profile.endAll')}
          onClose={() => setEndingAll(false)}
        >
          <p>{t('profile.endAllQuestion')}</p>
        </Confirm>
      )}
    </Card>
  );
}
