import { Badge } from '../components/notice.js';
import type { Column } from '../components/table.js';
import { nameBrowser } from '../name-browser.js';
import { t } from '../text/text.js';

/** What tells sessions apart, of people and of admins. */
interface AnySession {
  readonly user_agent: string | null;
  readonly address: string | null;
  /** Whether it is the one that the page uses. */
  readonly current?: boolean;
}

/** What a session calls itself in which the server carries on a bulk change. */
const BULK_CHANGE = 'bulk-change';

/** Names the program of a session by the name people know. */
export function nameProgram(userAgent: string | null): string {
  if (userAgent === BULK_CHANGE) return t('credentials.bulkChange');
  return nameBrowser(userAgent) ?? t('credentials.unknown');
}

/** Lists what tells sessions apart: the program, and the address it signed in from. */
export function sessionColumns<Session extends AnySession>(): readonly Column<Session>[] {
  return [
    {
      key: 'program',
      label: t('credentials.program'),
      heads: true,
      cell: ({ user_agent, current = false }) => (
        <span title={user_agent ?? undefined}>
          {nameProgram(user_agent)} {current && <Badge tone="good">{t('credentials.thisOne')}</Badge>}
        </span>
      ),
    },
    {
      key: 'address',
      label: t('credentials.address'),
      cell: ({ address }) => <span class="breaks">{address ?? '–'}</span>,
    },
  ];
}
