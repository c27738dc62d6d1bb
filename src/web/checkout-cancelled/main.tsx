import { SmallPage } from '../account/small-page.js';
import { ButtonLink } from '../foundation/components/button.js';
import { mount } from '../foundation/mount.js';
import { t } from '../foundation/text/text.js';

function CheckoutCancelled() {
  return (
    <SmallPage title={t('checkout.cancelled')} lead={t('checkout.cancelledLead')}>
      <ButtonLink href="dashboard#/plan">{t('checkout.toPlan')}</ButtonLink>
    </SmallPage>
  );
}

void mount(CheckoutCancelled);
