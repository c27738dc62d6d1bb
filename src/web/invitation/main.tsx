import { useState } from 'preact/hooks';
import { fragment, opened } from '../account/fragment.js';
import { findPasswordProblem, NewPassword } from '../account/new-password.js';
import { useSignInOptions } from '../account/options.js';
import { Or, ProviderButtons } from '../account/provider-buttons.js';
import { SmallPage } from '../account/small-page.js';
import { ToSignIn } from '../account/to-sign-in.js';
import { useProblems } from '../account/use-fields.js';
import { sendOpenly } from '../foundation/api/api.js';
import { ButtonLink } from '../foundation/components/button.js';
import { EmailField } from '../foundation/components/field.js';
import { Form } from '../foundation/components/form.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { mount } from '../foundation/mount.js';
import { keepSession, type SignedIn } from '../foundation/session/person-session.js';
import { t } from '../foundation/text/text.js';

const FIELD_OF_CODE = {
  EMAIL_TAKEN: 'email',
  VALIDATION_FAILED: 'email',
  PASSWORD_TOO_COMMON: 'password',
  PASSWORD_BREACHED: 'password',
  PASSWORD_PERSONAL: 'password',
} as const;

/** An invitation to an address is good for a provider's sign-in with it, too. */
function OtherWays() {
  const { data } = useSignInOptions();
  if (data === undefined || data.providers.length === 0) return null;
  return (
    <>
      <ProviderButtons options={data} />
      <Or />
    </>
  );
}

/** Shows the form. @param props.address the only one the invitation is good for, or an empty one */
function Invited({ code, address }: { readonly code: string; readonly address: string }) {
  const [email, setEmail] = useState(address);
  const [password, setPassword] = useState('');
  const [done, setDone] = useState(false);
  const action = useAction(async () => {
    keepSession(await sendOpenly<SignedIn>('auth/register', { email, password, invitation: code }));
    setDone(true);
  });
  const problems = useProblems<'email' | 'password'>(action.failure, FIELD_OF_CODE);
  const check = () =>
    problems.set({
      email: email.trim() === '' ? t('account.emailMissing') : undefined,
      password: findPasswordProblem(password),
    });
  if (done)
    return (
      <SmallPage title={t('account.readyTitle')} focus>
        <ButtonLink kind="primary" href="dashboard">
          {t('account.toDashboard')}
        </ButtonLink>
      </SmallPage>
    );
  if (['INVITATION_INVALID', 'SIGNUP_CLOSED'].includes(action.failure?.code ?? ''))
    return (
      <SmallPage title={t('account.invitationDead')} lead={t('account.invitationDeadLead')} focus>
        <ToSignIn />
      </SmallPage>
    );
  return (
    <SmallPage title={t('account.signUpTitle')} lead={t('account.invitedLead')}>
      {address !== '' && <OtherWays />}
      <Form
        action={action}
        submit={t('account.create')}
        check={check}
        explained={Object.keys(FIELD_OF_CODE)}
        wide
        focus
      >
        <EmailField
          label={t('account.email')}
          value={email}
          onValue={setEmail}
          error={problems.of('email')}
          readOnly={address !== ''}
          required
        />
        <NewPassword
          label={t('account.password')}
          value={password}
          onValue={setPassword}
          error={problems.of('password')}
        />
      </Form>
      <ToSignIn label={t('account.haveAccount')} />
    </SmallPage>
  );
}

function Invitation() {
  const code = fragment.value.get('code') ?? '';
  if (code === '')
    return (
      <SmallPage title={t('account.linkIncomplete')} lead={t('account.invitationIncomplete')}>
        <ToSignIn />
      </SmallPage>
    );
  return <Invited key={opened.value} code={code} address={fragment.value.get('email') ?? ''} />;
}

void mount(Invitation);
