import { View } from '../../foundation/components/view.js';
import { t } from '../../foundation/text/text.js';
import { me } from '../session.js';
import { PasswordCard } from './password-card.js';
import { SecondFactorCard } from './second-factor-card.js';
import { SessionsCard } from './sessions-card.js';

/** Shows an admin's own sessions, password and second factor. */
export function AccountView() {
  const admin = me.value;
  const role = admin === undefined ? '' : t(`admin.admins.roles.${admin.role}`);
  return (
    <View title={t('admin.account.title')} lead={admin && `${admin.username}, ${role}`}>
      <SecondFactorCard />
      <PasswordCard />
      <SessionsCard />
    </View>
  );
}
