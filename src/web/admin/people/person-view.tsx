import { useState } from 'preact/hooks';
import { Facts } from '../../foundation/components/facts.js';
import { Loads } from '../../foundation/components/loads.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDateTime } from '../../foundation/format.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { toHref } from '../../foundation/router/router.js';
import type { ViewProps } from '../../foundation/router/views.js';
import { t } from '../../foundation/text/text.js';
import { Acts } from '../acts/acts.js';
import { BalanceCard } from '../moves/balance-card.js';
import { LedgerCard } from '../moves/ledger-card.js';
import { api, mayAct } from '../session.js';
import { UsesCard } from '../usage/uses-card.js';
import type { Person } from './person.js';
import { PERSON_ACTS } from './person-actions.js';
import { PersonBadges } from './person-badges.js';
import { PersonDevices } from './person-devices.js';
import { PersonKeys } from './person-keys.js';
import { PersonSessions } from './person-sessions.js';

function About({ person }: { readonly person: Person }) {
  return (
    <Card title={t('admin.people.about')}>
      <Facts
        facts={[
          [t('admin.people.name'), person.name],
          [t('admin.people.plan'), t(`admin.plans.tiers.${person.tier}`)],
          [t('admin.people.since'), formatDateTime(person.created_at)],
          person.suspended_at !== null && [t('admin.people.suspendedSince'), formatDateTime(person.suspended_at)],
          [t('secondFactor.title'), t(person.second_factor ? 'secondFactor.on' : 'secondFactor.off')],
          [t('admin.people.sessions'), formatCount(person.sessions)],
          [t('admin.people.keys'), formatCount(person.api_keys)],
          [t('admin.id'), <code key="id">{person.id}</code>],
        ]}
      />
    </Card>
  );
}

/** Shows an account: its balance with every change, what it has and used, and what can be done with it. */
export function PersonView({ names: { id = '' } }: ViewProps) {
  const [round, setRound] = useState(0);
  const loaded = useLoad((signal) => api.get<Person>(`admin/users/${id}`, {}, signal), [id, round]);
  const renew = () => setRound((count) => count + 1);
  const person = loaded.data;
  return (
    <View
      title={person?.email ?? t('admin.people.single')}
      lead={
        <>
          <a href={toHref('/people')}>{t('admin.people.title')}</a>{' '}
          {person !== undefined && <PersonBadges person={person} />}
        </>
      }
      actions={person !== undefined && mayAct.value && <Acts acts={PERSON_ACTS} subject={person} onDone={renew} />}
    >
      <Loads from={loaded}>
        {(found) => (
          <>
            <div class="cards">
              <BalanceCard
                title={t('admin.balance.title')}
                balance={{
                  allocated: found.total_tokens,
                  used: found.tokens_used,
                  reserved: found.total_tokens - found.tokens_used - found.tokens_left,
                  remaining: found.tokens_left,
                }}
              />
              <About person={found} />
            </div>
            <LedgerCard kind="user" id={id} round={round} onUndone={renew} />
            <PersonDevices id={id} round={round} />
            <PersonSessions id={id} round={round} onEnded={renew} />
            <PersonKeys id={id} round={round} onEnded={renew} />
            <UsesCard query={{ user_id: id }} />
          </>
        )}
      </Loads>
    </View>
  );
}
