import { useState } from 'preact/hooks';
import { Loads } from '../../foundation/components/loads.js';
import { View } from '../../foundation/components/view.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { DataCard } from './data-card.js';
import { EmailCard } from './email-card.js';
import { NameCard } from './name-card.js';
import { PasswordCard } from './password-card.js';
import type { Profile } from './profile.js';
import { SecondFactorCard } from './second-factor-card.js';
import { SessionsCard } from './sessions-card.js';

/** Shows the person's account: name, address, password, sessions, and their data. */
export function AccountView() {
  const profile = useLoad((signal) => api.get<Profile>('users/me', {}, signal), []);
  // Turning the second factor on ends the other sessions.
  const [round, setRound] = useState(0);
  const renew = () => {
    profile.reload();
    setRound((count) => count + 1);
  };
  return (
    <View title={t('profile.title')}>
      <Loads from={profile}>
        {(data) => (
          <>
            <div class="cards">
              <div class="column">
                <NameCard profile={data} onChanged={profile.change} />
                <EmailCard profile={data} onChanged={profile.change} />
                <SecondFactorCard profile={data} onChanged={renew} />
              </div>
              <div class="column">
                <PasswordCard profile={data} onChanged={profile.reload} />
                <DataCard profile={data} />
              </div>
            </div>
            <SessionsCard key={round} />
          </>
        )}
      </Loads>
    </View>
  );
}
