import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { UsageSummarySchema } from '../../../features/usage/schemas.js';
import type { BalanceSchema } from '../../../features/users/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Facts } from '../../foundation/components/facts.js';
import { Loads } from '../../foundation/components/loads.js';
import { Meter } from '../../foundation/components/meter.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDate, formatMonth, formatRough, formatUsd } from '../../foundation/format.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { thisMonth, toDaysQuery } from '../usage/days.js';
import { DeviceBalances } from './device-balances.js';
import { forecast, usedUpAt } from './forecast.js';
import { Ledger } from './ledger.js';
import { type LiveBalance, useLiveBalance } from './live-balance.js';

type Balance = Static<typeof BalanceSchema>;
type Summary = Static<typeof UsageSummarySchema>;

function BalanceCard({ balance, live }: { readonly balance: Balance; readonly live: boolean }) {
  const { allocated, used, reserved, remaining, debt } = balance;
  return (
    <Card
      title={t('tokens.balance')}
      lead={t('tokens.balanceLead')}
      actions={live ? <span class="live quiet">{t('tokens.live')}</span> : null}
    >
      <p class="big">
        {formatCount(remaining)} <small>{t('tokens.left')}</small>
      </p>
      <Meter used={used} reserved={reserved} all={allocated} />
      <Facts
        facts={[
          [t('tokens.granted'), formatCount(allocated)],
          [t('tokens.used'), formatCount(used)],
          reserved > 0 && [t('tokens.reserved'), formatCount(reserved)],
          debt > 0 && [t('tokens.debt'), formatCount(debt)],
        ]}
      />
    </Card>
  );
}

/** Says what the debits of the month come to. */
function explainPace(used: number, month: Summary, remaining: number): string {
  const now = Date.now();
  const soFar = { from: Date.parse(month.from), to: Date.parse(month.to), used };
  const expected = forecast(soFar, now);
  if (used === 0) return t('tokens.paceNone');
  if (expected === undefined) return t('tokens.paceYoung');
  const end = usedUpAt(soFar, remaining, now);
  if (end !== undefined) return t('tokens.paceEnds', { date: formatDate(end) });
  const left = formatRough(remaining - (expected - used));
  return t('tokens.paceLasts', { expected: formatRough(expected), left });
}

function MonthCard({ month, remaining }: { readonly month: Summary; readonly remaining: number }) {
  const { totals, series } = month;
  // What devices spent is debited from balances of their own.
  const own = series.filter(({ device }) => device === null).reduce((sum, { cost }) => sum + cost, 0);
  const expected = forecast(
    { from: Date.parse(month.from), to: Date.parse(month.to), used: totals.total_tokens },
    Date.now(),
  );
  return (
    <Card title={formatMonth(thisMonth().from)} lead={explainPace(own, month, remaining)}>
      <Facts
        facts={[
          [t('tokens.monthTokens'), formatCount(totals.total_tokens)],
          expected !== undefined && [t('tokens.monthExpected'), t('tokens.roughly', { count: formatRough(expected) })],
          [t('tokens.monthDebited'), formatCount(own)],
          [t('tokens.monthMoney'), formatUsd(totals.nano_usd)],
        ]}
      />
    </Card>
  );
}

/** Shows the balance as it changes, the month, the balances of the devices, and what changed them. */
export function TokensView() {
  const [round, setRound] = useState(0);
  const means = useLoad(
    async (signal) => {
      const query = { group_by: 'device', ...toDaysQuery(thisMonth()) };
      const [balance, month] = await Promise.all([
        api.get<Balance>('users/me/balance', {}, signal),
        api.get<Summary>('usage/summary', query, signal),
      ]);
      return { balance, month };
    },
    [round],
  );
  const { balance: told, live } = useLiveBalance(round, means.data);
  const merge = (balance: Balance, now: LiveBalance | undefined): Balance => ({ ...balance, ...now });
  return (
    <View
      title={t('tokens.title')}
      actions={
        <Button busy={means.loading} onClick={() => setRound(round + 1)}>
          {t('common.refresh')}
        </Button>
      }
    >
      <Loads from={means}>
        {({ balance, month }) => (
          <div class="cards">
            <BalanceCard balance={merge(balance, told)} live={live} />
            <MonthCard month={month} remaining={merge(balance, told).remaining} />
          </div>
        )}
      </Loads>
      <DeviceBalances round={round} />
      <Ledger round={round} />
    </View>
  );
}
