import { useMemo } from 'preact/hooks';
import { listPlaces, toSeries } from '../../foundation/chart/bands.js';
import { Chart } from '../../foundation/chart/chart.js';
import { Button } from '../../foundation/components/button.js';
import { Loads } from '../../foundation/components/loads.js';
import { Empty, Failure } from '../../foundation/components/notice.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDays, formatShort, formatUsd } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { language, t } from '../../foundation/text/text.js';
import { downloadUsage } from './download.js';
import { loadUsage, type Part } from './load-usage.js';
import { UsageFilters } from './usage-filters.js';
import { type Measure, readUsageQuery, type UsageQuery } from './usage-query.js';
import { labelOf, sumParts, UsageTable } from './usage-table.js';
import { UsageToolbar } from './usage-toolbar.js';

/** How many rows the table below the chart has at most; the chart and the sums have all. */
const MOST_ROWS = 100;

const writing = (measure: Measure) =>
  measure === 'nano_usd'
    ? { value: formatUsd, valueShort: formatUsd }
    : { value: formatCount, valueShort: formatShort };

function UsageChart({ query, parts }: { readonly query: UsageQuery; readonly parts: readonly Part[] }) {
  const { by, measure, from, to } = query;
  const cells = parts.map((part) => ({ place: part.day, name: labelOf(by, part), value: part[measure] }));
  const places = useMemo(() => listPlaces(cells), [parts]);
  const series = useMemo(() => toSeries(cells, places), [parts, measure, language.value]);
  const caption = t('admin.usage.chart', {
    measure: t(`admin.usage.measures.${measure}`),
    group: t(`admin.usage.by.${by}`),
  });
  return (
    <Chart caption={caption} places={places} series={series} range={formatDays(from, to)} writing={writing(measure)} />
  );
}

/** Shows what everybody used, by day and by what it is divided by, closer and closer, and as a file. */
export function UsageView() {
  const query = readUsageQuery();
  const loaded = useLoad(
    (signal) => loadUsage(query, signal),
    [query.by, query.from, query.to, JSON.stringify(query.filter)],
  );
  const download = useAction(() => downloadUsage({ from: query.from, to: query.to, ...query.filter }));
  return (
    <View
      title={t('admin.usage.title')}
      lead={t('admin.usage.lead')}
      actions={
        <Button busy={download.busy} onClick={() => void download.run()}>
          {t('admin.usage.download')}
        </Button>
      }
    >
      <Failure failure={download.failure} />
      <Card>
        <div class="stack">
          <UsageToolbar query={query} />
          <UsageFilters filter={query.filter} />
          <Loads from={loaded}>
            {({ parts }) =>
              parts.length === 0 ? (
                <Empty title={t('admin.usage.none')}>
                  <p>{t('admin.usage.noneLead')}</p>
                </Empty>
              ) : (
                <>
                  <UsageChart query={query} parts={parts} />
                  <UsageTable
                    by={query.by}
                    measure={query.measure}
                    sums={sumParts(parts, query.measure).slice(0, MOST_ROWS)}
                  />
                </>
              )
            }
          </Loads>
        </div>
      </Card>
    </View>
  );
}
