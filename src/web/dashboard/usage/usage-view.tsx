import { useState } from 'preact/hooks';
import { Chart } from '../../foundation/chart/chart.js';
import { Button } from '../../foundation/components/button.js';
import { Segments } from '../../foundation/components/choice.js';
import { Loads } from '../../foundation/components/loads.js';
import { Figure } from '../../foundation/components/meter.js';
import { Empty, Failure } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatDays, formatUsd, formatWeekday, TIME_ZONE } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { type Loaded, useLoad } from '../../foundation/hooks/use-load.js';
import { setQuery } from '../../foundation/router/router.js';
import { plural, rich, t } from '../../foundation/text/text.js';
import { saveFile } from '../save-file.js';
import { DayField } from './day-field.js';
import { toDaysQuery, today } from './days.js';
import { Events } from './events.js';
import { loadUse, type Use } from './load-use.js';
import { Models } from './models.js';
import { RANGES, type Range, readRange } from './range.js';
import { Sources } from './sources.js';

function RangeChoice({ range }: { readonly range: Range }) {
  const options = RANGES.map((value) => ({
    value,
    label: value === 'custom' ? t('usage.custom') : plural('usage.lastDays', Number(value)),
  }));
  const { days, name, valid } = range;
  return (
    <>
      <Segments
        legend={t('usage.range')}
        value={name}
        options={options}
        onValue={(next) => setQuery(next === 'custom' ? { days: next, ...days } : { days: next, from: '', to: '' })}
      />
      {name === 'custom' && (
        <div class="range-dates">
          <DayField label={t('usage.from')} day={days.from} onDay={(from) => setQuery({ from })} />
          <DayField
            label={t('usage.to')}
            day={days.to}
            onDay={(to) => setQuery({ to })}
            error={valid ? undefined : t('usage.rangeWrong')}
          />
        </div>
      )}
    </>
  );
}

function Totals({ totals }: Pick<Use, 'totals'>) {
  return (
    <dl class="figures six">
      <Figure label={t('usage.tokens')} value={totals.total_tokens} />
      <Figure label={t('usage.sent')} value={totals.input_tokens} />
      <Figure label={t('usage.received')} value={totals.output_tokens} />
      <Figure label={t('usage.debited')} value={totals.cost} />
      <Figure label={t('usage.money')} value={formatUsd(totals.nano_usd)} />
      <Figure label={t('usage.eventCount')} value={totals.events} />
    </dl>
  );
}

function Nothing() {
  return (
    <Card>
      <Empty title={t('usage.nothing')}>
        <p>{t('usage.nothingExtension')}</p>
        <p>
          {rich('usage.nothingApi', {
            call: <code>POST /api/usage</code>,
            docs: <a href="docs">{t('usage.nothingDocs')}</a>,
          })}
        </p>
      </Empty>
    </Card>
  );
}

/** A day, and that today is not over. */
const nameDay = (day: string) =>
  day === today() ? t('usage.todaySoFar', { day: formatWeekday(day) }) : formatWeekday(day);

const WRITING = { place: nameDay, total: (value: number) => plural('usage.tokenCount', value) };

function Content({ use, range }: { readonly use: Use; readonly range: Range }) {
  if (use.totals.events === 0) return <Nothing />;
  const name =
    range.name === 'custom' ? formatDays(range.days.from, range.days.to) : plural('usage.lastDays', Number(range.name));
  return (
    <>
      <Totals totals={use.totals} />
      <div class="usage-grid">
        <Card title={t('usage.perDay')}>
          <Chart
            caption={t('usage.perDayAndProvider')}
            places={use.days}
            series={use.providers}
            range={name}
            writing={WRITING}
          />
        </Card>
        <Models rows={use.models} />
      </div>
      <Sources rows={use.sources} />
    </>
  );
}

function Status({ from, range }: { readonly from: Loaded<Use>; readonly range: Range }) {
  const isLoading = range.valid && from.loading;
  const isShown = range.valid && !from.loading && from.failure === undefined && from.data !== undefined;
  return (
    <p class="quiet" role="status">
      {isLoading && t('common.loading')}
      {isShown && t('usage.showing', { range: formatDays(range.days.from, range.days.to), zone: TIME_ZONE })}
    </p>
  );
}

/** Shows what was used in a range of days. */
export function UsageView() {
  const [round, setRound] = useState(0);
  const range = readRange();
  const { days, valid } = range;
  const use = useLoad(
    async (signal) => (valid ? loadUse(days, signal) : new Promise<Use>(() => undefined)),
    [days.from, days.to, valid, round],
  );
  const csv = useAction(async () => {
    await saveFile('usage.csv', toDaysQuery(days), `usage-${days.from}-to-${days.to}.csv`);
    announce(t('usage.saved'));
  });
  const hasEvents = use.data !== undefined && use.data.totals.events > 0;
  return (
    <View
      title={t('usage.title')}
      actions={
        <>
          <Button onClick={() => setRound(round + 1)} busy={valid && use.loading} disabled={!valid}>
            {t('common.refresh')}
          </Button>
          <Button onClick={() => void csv.run()} busy={csv.busy} disabled={!hasEvents}>
            {t('usage.csv')}
          </Button>
        </>
      }
    >
      <div class="toolbar">
        <RangeChoice range={range} />
        <Status from={use} range={range} />
      </div>
      <Failure failure={csv.failure} />
      {valid && <Loads from={use}>{(answer) => <Content use={answer} range={range} />}</Loads>}
      {valid && use.data?.totals.events !== 0 && <Events days={days} round={round} />}
    </View>
  );
}
