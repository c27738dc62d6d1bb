import type { Column } from '../../foundation/components/table.js';
import { formatCount, formatUsd } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';
import type { Measure } from './usage-query.js';

/** Returns columns of what was used; money that is not known is a dash. */
export function usageColumns<Name extends Measure>(
  measures: readonly Name[],
): readonly Column<Readonly<Record<Name, number | null>>>[] {
  return measures.map((measure) => ({
    key: measure,
    label: t(`admin.usage.measures.${measure}`),
    numeric: true,
    cell: (row) => {
      const value = row[measure];
      if (value === null) return '–';
      return measure === 'nano_usd' ? formatUsd(value) : formatCount(value);
    },
  }));
}
