import type { ApiKeyScope } from '../../../auth/api-keys/scopes.js';
import { Badge } from '../components/notice.js';
import type { Column } from '../components/table.js';
import { formatAgo, formatDate } from '../format.js';
import { t } from '../text/text.js';

/** What is told of an API key, to its owner and to admins. */
interface AnyKey {
  readonly name: string;
  /** What it begins with. */
  readonly prefix: string;
  readonly scopes: readonly ApiKeyScope[];
  readonly last_used_at: string | null;
  readonly expires_at: string | null;
}

function Expiry({ at }: { readonly at: string | null }) {
  if (at === null) return <>{t('keys.never')}</>;
  if (Date.parse(at) < Date.now()) return <Badge tone="bad">{t('keys.expired')}</Badge>;
  return <>{formatDate(at)}</>;
}

/** Lists what is told of an API key. */
export function keyColumns<Key extends AnyKey>(): readonly Column<Key>[] {
  return [
    {
      key: 'name',
      label: t('keys.name'),
      heads: true,
      cell: ({ name, prefix }) => (
        <span>
          {name} <small>{prefix}…</small>
        </span>
      ),
    },
    {
      key: 'scopes',
      label: t('keys.scopes'),
      cell: ({ scopes }) => scopes.map((scope) => t(`keys.scope.${scope}.label`)).join(', '),
    },
    {
      key: 'used',
      label: t('keys.lastUse'),
      cell: ({ last_used_at }) => (last_used_at === null ? t('keys.never') : formatAgo(last_used_at)),
    },
    { key: 'expires', label: t('keys.expires'), cell: ({ expires_at }) => <Expiry at={expires_at} /> },
  ];
}
