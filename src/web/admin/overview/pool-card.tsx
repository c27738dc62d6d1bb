import type { ComponentChildren } from 'preact';
import { Meter } from '../../foundation/components/meter.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';
import type { Pool } from './overview.js';

/** Shows a pool: what it has, what is handed out of it, and what became of that. */
export function PoolCard({ pool, actions }: { readonly pool: Pool; readonly actions?: ComponentChildren }) {
  const { total, allocated, used, reserved, remaining, unallocated } = pool;
  const facts = [
    ['used', used],
    ['reserved', reserved],
    ['remaining', remaining],
  ] as const;
  return (
    <Card title={t(`admin.pool.kinds.${pool.subject_kind}`)} actions={actions}>
      <div class="stack">
        <p class="big">
          <b>{formatCount(allocated)}</b>{' '}
          <span class="quiet">
            {total === null ? t('admin.pool.ofUnlimited') : t('admin.pool.of', { total: formatCount(total) })}
          </span>
        </p>
        <Meter used={used} reserved={reserved} all={total ?? allocated} />
        <dl class="row-facts">
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{t(`admin.pool.${name}`)}</dt>
              <dd>{formatCount(value)}</dd>
            </div>
          ))}
          <div>
            <dt>{t('admin.pool.unallocated')}</dt>
            <dd>{unallocated === null ? '∞' : formatCount(unallocated)}</dd>
          </div>
        </dl>
      </div>
    </Card>
  );
}
