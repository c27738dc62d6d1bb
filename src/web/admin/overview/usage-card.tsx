import { Chart } from '../../foundation/chart/chart.js';
import { Table } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount, formatUsd } from '../../foundation/format.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import type { Overview } from './overview.js';

const SPANS = ['today', 'last_7_days', 'last_30_days'] as const;
const MEASURES = ['prompts', 'total_tokens', 'cost', 'nano_usd'] as const;
type Measure = (typeof MEASURES)[number];

const write = (measure: Measure, value: number) => (measure === 'nano_usd' ? formatUsd(value) : formatCount(value));

/** Shows what everybody used today, in 7 and in 30 days, and the prompts of each day. */
export function UsageCard({ usage }: { readonly usage: Overview['usage'] }) {
  const { by_day: days } = usage;
  const values = days.map(({ prompts }) => prompts);
  const total = usage.last_30_days.prompts;
  return (
    <Card title={t('admin.overview.usage')} actions={<a href={toHref('/usage')}>{t('admin.overview.lookCloser')}</a>}>
      <div class="stack">
        <Table
          caption={t('admin.overview.usage')}
          captionHidden
          rows={MEASURES}
          rowKey={(measure) => measure}
          columns={[
            {
              key: 'measure',
              label: t('admin.overview.measure'),
              cell: (measure) => t(`admin.usage.measures.${measure}`),
              heads: true,
            },
            ...SPANS.map((span) => ({
              key: span,
              label: t(`admin.overview.spans.${span}`),
              cell: (measure: Measure) => write(measure, usage[span][measure]),
              numeric: true,
            })),
          ]}
        />
        {/* Axes without bars say nothing that the table does not. */}
        {total > 0 && (
          <Chart
            caption={t('admin.overview.chart')}
            places={days.map(({ day }) => day)}
            series={[{ name: t('admin.usage.measures.prompts'), values, total }]}
            range={t('admin.overview.spans.last_30_days')}
          />
        )}
      </div>
    </Card>
  );
}
