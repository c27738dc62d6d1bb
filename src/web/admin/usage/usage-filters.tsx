import { Button } from '../../foundation/components/button.js';
import { setQuery } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { nameOf } from './load-usage.js';
import { FILTERS, type Filter, type UsageQuery } from './usage-query.js';

function describe(name: Filter, value: string): string {
  if (name === 'device') return `${t('admin.usage.by.device')}: ${nameOf(value)}`;
  if (name === 'user_id') return `${t('admin.usage.by.user')}: ${nameOf(value)}`;
  return `${t(`admin.usage.by.${name}`)}: ${value}`;
}

/** Shows what narrows the usage that is shown; each can be taken back. */
export function UsageFilters({ filter }: Pick<UsageQuery, 'filter'>) {
  const active = FILTERS.flatMap((name) => {
    const value = filter[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  if (active.length === 0) return null;
  return (
    <ul class="chips" aria-label={t('admin.usage.filters')}>
      {active.map(([name, value]) => (
        <li key={name}>
          <Button
            label={t('admin.usage.dropFilter', { filter: describe(name, value) })}
            onClick={() => setQuery({ [name]: '' })}
          >
            {describe(name, value)} <span aria-hidden="true">×</span>
          </Button>
        </li>
      ))}
    </ul>
  );
}
