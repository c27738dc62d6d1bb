import { Meter } from '../../foundation/components/meter.js';
import type { Column } from '../../foundation/components/table.js';
import { formatCount } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';

interface ListedBalance {
  readonly allocated: number;
  readonly used: number;
  readonly reserved: number;
  readonly remaining: number;
}

/** Returns the columns of balances: what is left, with a bar, and what was used. */
export function balanceColumns<Row>(toBalance: (row: Row) => ListedBalance): readonly Column<Row>[] {
  return [
    {
      key: 'remaining',
      label: t('admin.balance.left'),
      numeric: true,
      sortable: true,
      cell: (row) => {
        const { remaining, used, reserved, allocated } = toBalance(row);
        return (
          <span class="with-meter">
            {formatCount(remaining)}
            <Meter used={used} reserved={reserved} all={allocated} />
          </span>
        );
      },
    },
    {
      key: 'used',
      label: t('admin.balance.used'),
      numeric: true,
      sortable: true,
      cell: (row) => formatCount(toBalance(row).used),
    },
  ];
}
