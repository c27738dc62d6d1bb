import { Badge } from '../../foundation/components/notice.js';
import { t } from '../../foundation/text/text.js';

interface Standing {
  readonly suspended_at: string | null;
  readonly email_verified: boolean;
  readonly tokens_left: number;
  readonly total_tokens: number;
}

/** Shows in words how an account stands. */
export function PersonBadges({ person }: { readonly person: Standing }) {
  const { suspended_at, email_verified, tokens_left, total_tokens } = person;
  const isLow = tokens_left * 10 <= total_tokens;
  return (
    <>
      {suspended_at !== null && <Badge tone="bad">{t('admin.people.suspended')}</Badge>}{' '}
      {!email_verified && <Badge>{t('admin.people.unverified')}</Badge>}{' '}
      {isLow && (
        <Badge tone="warning">{t(tokens_left === 0 ? 'admin.balance.empty' : 'admin.balance.nearLimit')}</Badge>
      )}
    </>
  );
}
