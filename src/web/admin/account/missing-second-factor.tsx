import { Notice } from '../../foundation/components/notice.js';
import { Title } from '../../foundation/components/view.js';
import { t } from '../../foundation/text/text.js';
import { SecondFactorCard } from './second-factor-card.js';

/** Shows the one thing an admin can do where the server asks for a second factor and there is none. */
export function MissingSecondFactor() {
  return (
    <div class="narrow">
      <Title>{t('secondFactor.title')}</Title>
      <Notice tone="warning">
        <p>{t('admin.account.factorNeeded')}</p>
      </Notice>
      <SecondFactorCard />
    </div>
  );
}
