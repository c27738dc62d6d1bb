import { useSignInOptions } from '../account/options.js';
import { ButtonLink } from '../foundation/components/button.js';
import { Shell } from '../foundation/components/shell.js';
import { Card, Title } from '../foundation/components/view.js';
import { mount } from '../foundation/mount.js';
import { wasSignedIn } from '../foundation/session/person-session.js';
import { t } from '../foundation/text/text.js';
import './start.css';

/** Leads people in: who is signed in to their account, others to sign-in, and to sign-up where there is one. */
function PersonCard() {
  const { data } = useSignInOptions();
  const isKnown = wasSignedIn();
  return (
    <Card title={t('start.person')} lead={t('start.personLead')}>
      <div class="actions">
        <ButtonLink kind="primary" href="dashboard">
          {t(isKnown ? 'start.toDashboard' : 'start.signIn')}
        </ButtonLink>
        {!isKnown && data !== undefined && data.sign_up !== 'closed' && (
          <ButtonLink href="sign-up">{t('start.signUp')}</ButtonLink>
        )}
      </div>
    </Card>
  );
}

function Start() {
  return (
    <Shell>
      <div class="view start">
        <div>
          <Title>{t('start.title')}</Title>
          <p class="lead">{t('start.lead')}</p>
        </div>
        <div class="cards">
          <PersonCard />
          <Card title={t('start.developer')} lead={t('start.developerLead')}>
            <div class="actions">
              <ButtonLink href="docs">{t('start.docs')}</ButtonLink>
            </div>
          </Card>
          <Card title={t('start.operator')} lead={t('start.operatorLead')}>
            <div class="actions">
              <ButtonLink href="admin">{t('start.admin')}</ButtonLink>
            </div>
          </Card>
        </div>
      </div>
    </Shell>
  );
}

void mount(Start);
