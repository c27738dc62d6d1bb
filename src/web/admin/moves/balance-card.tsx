import type { ComponentChildren } from 'preact';
import { Meter } from '../../foundation/components/meter.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount, formatShare } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';

/** A balance, as every answer has it. */
export interface BalanceFields {
  readonly allocated: number;
  readonly used: number;
  readonly reserved: number;
  readonly remaining: number;
}

/** Shows what a balance has, used, holds and has left. */
export function BalanceCard({
  title,
  balance,
  note,
  actions,
}: {
  readonly title: string;
  readonly balance: BalanceFields;
  readonly note?: string;
  readonly actions?: ComponentChildren;
}) {
  const { allocated, used, reserved, remaining } = balance;
  return (
    <Card title={title} actions={actions}>
      <div class="stack">
        <p class="big">
          <b>{formatCount(remaining)}</b>{' '}
          <span class="quiet">
            {t('admin.balance.leftOf', { allocated: formatCount(allocated), share: formatShare(remaining, allocated) })}
          </span>
        </p>
        <Meter used={used} reserved={reserved} all={allocated} />
        <dl class="row-facts">
          <div>
            <dt>{t('admin.balance.used')}</dt>
            <dd>{formatCount(used)}</dd>
          </div>
          <div>
            <dt>{t('admin.balance.reserved')}</dt>
            <dd>{formatCount(reserved)}</dd>
          </div>
          <div>
            <dt>{t('admin.balance.allocated')}</dt>
            <dd>{formatCount(allocated)}</dd>
          </div>
        </dl>
        {note !== undefined && <p class="quiet">{note}</p>}
      </div>
    </Card>
  );
}
