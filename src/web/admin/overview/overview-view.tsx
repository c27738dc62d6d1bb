import { Button } from '../../foundation/components/button.js';
import { Loads } from '../../foundation/components/loads.js';
import { View } from '../../foundation/components/view.js';
import { formatCount } from '../../foundation/format.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { api } from '../session.js';
import { RecentAlerts } from '../webhooks/recent-alerts.js';
import { FirstSteps } from './first-steps.js';
import type { Overview } from './overview.js';
import { PoolCard } from './pool-card.js';
import { Ranking } from './ranking.js';
import { UsageCard } from './usage-card.js';
import { VerifyBooks } from './verify-books.js';

/** Numbers that lead to the list of those they count. */
function Standing({ overview: { devices, people } }: { readonly overview: Overview }) {
  const numbers = [
    ['devices', devices.count, toHref('/devices')],
    ['devicesNearLimit', devices.near_limit, toHref('/devices', { filter: 'near_limit' })],
    ['devicesBlocked', devices.blocked, toHref('/devices', { filter: 'blocked' })],
    ['people', people.count, toHref('/people')],
    ['peopleNearLimit', people.near_limit, toHref('/people', { filter: 'near_limit' })],
    ['peopleSuspended', people.suspended, toHref('/people', { filter: 'suspended' })],
  ] as const;
  return (
    <ul class="tiles" aria-label={t('admin.overview.standing')}>
      {numbers.map(([name, value, href]) => (
        <li key={name}>
          <a href={href}>
            <b>{formatCount(value)}</b> <span>{t(`admin.overview.tiles.${name}`)}</span>
          </a>
        </li>
      ))}
    </ul>
  );
}

/** Shows the pools, what everybody uses, and who and what uses most. */
export function OverviewView() {
  const loaded = useLoad((signal) => api.get<Overview>('admin/overview', {}, signal), []);
  return (
    <View
      title={t('admin.nav.overview')}
      actions={
        <Button busy={loaded.loading} onClick={loaded.reload}>
          {t('admin.refresh')}
        </Button>
      }
    >
      <Loads from={loaded}>
        {(overview) => (
          <>
            {overview.devices.count === 0 && overview.people.count === 0 && <FirstSteps />}
            <Standing overview={overview} />
            <div class="cards">
              <PoolCard pool={overview.pools.devices} />
              <PoolCard pool={overview.pools.users} />
            </div>
            <RecentAlerts limit={5} isShort />
            <UsageCard usage={overview.usage} />
            <div class="cards thirds">
              <Ranking
                title={t('admin.overview.topDevices')}
                ranked={overview.top_devices.map(({ id, name, used }) => ({
                  key: id,
                  name,
                  value: used,
                  href: toHref(`/devices/${id}`),
                }))}
              />
              <Ranking
                title={t('admin.overview.topPeople')}
                ranked={overview.top_people.map(({ id, name, used }) => ({
                  key: id,
                  name,
                  value: used,
                  href: toHref(`/people/${id}`),
                }))}
              />
              <Ranking
                title={t('admin.overview.topModels')}
                ranked={overview.top_models.map(({ model, prompts }) => ({
                  key: model,
                  name: model,
                  value: prompts,
                  href: toHref('/usage', { model }),
                }))}
              />
            </div>
            <VerifyBooks last={overview.ledger} />
          </>
        )}
      </Loads>
    </View>
  );
}
