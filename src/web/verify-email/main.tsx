import { useState } from 'preact/hooks';
import { fragment, opened } from '../account/fragment.js';
import { SmallPage } from '../account/small-page.js';
import { sendOpenly } from '../foundation/api/api.js';
import { ButtonLink } from '../foundation/components/button.js';
import { Form } from '../foundation/components/form.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { mount } from '../foundation/mount.js';
import { t } from '../foundation/text/text.js';

function ToDashboard() {
  return (
    <ButtonLink kind="primary" href="dashboard">
      {t('account.toDashboard')}
    </ButtonLink>
  );
}

/** Mail scanners open links, and some run scripts: only a person presses the button. */
function Question({ token }: { readonly token: string }) {
  const [email, setEmail] = useState<string | undefined>();
  const action = useAction(async () => {
    const answer = await sendOpenly<{ readonly email: string }>('auth/verify-email', { token });
    setEmail(answer.email);
  });
  if (email !== undefined)
    return (
      <SmallPage title={t('account.verified')} lead={t('account.verifiedLead', { email })} focus>
        <ToDashboard />
      </SmallPage>
    );
  if (action.failure?.code === 'INVALID_VERIFICATION_TOKEN')
    return (
      <SmallPage title={t('account.linkDead')} lead={t('account.verifyDeadLead')} focus>
        <ToDashboard />
      </SmallPage>
    );
  if (action.failure?.code === 'EMAIL_TAKEN')
    return (
      <SmallPage title={t('account.addressTaken')} lead={t('account.addressTakenLead')} focus>
        <ToDashboard />
      </SmallPage>
    );
  return (
    <SmallPage title={t('account.verifyTitle')} lead={t('account.verifyQuestion')}>
      <Form action={action} submit={t('account.verifyYes')} wide focus>
        {null}
      </Form>
    </SmallPage>
  );
}

function VerifyEmail() {
  const token = fragment.value.get('token') ?? '';
  if (token === '')
    return (
      <SmallPage title={t('account.linkIncomplete')} lead={t('account.verifyIncomplete')}>
        <ToDashboard />
      </SmallPage>
    );
  return <Question key={opened.value} token={token} />;
}

void mount(VerifyEmail);
