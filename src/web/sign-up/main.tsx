import { useState } from 'preact/hooks';
import { CheckMail } from '../account/check-mail.js';
import { findPasswordProblem, NewPassword } from '../account/new-password.js';
import { type SignInOptions, useSignInOptions } from '../account/options.js';
import { Or, ProviderButtons } from '../account/provider-buttons.js';
import { SmallPage } from '../account/small-page.js';
import { ToSignIn } from '../account/to-sign-in.js';
import { useProblems } from '../account/use-fields.js';
import { sendOpenly } from '../foundation/api/api.js';
import { ButtonLink } from '../foundation/components/button.js';
import { EmailField, Field } from '../foundation/components/field.js';
import { Form } from '../foundation/components/form.js';
import { Loads } from '../foundation/components/loads.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { mount } from '../foundation/mount.js';
import { keepSession, type SignedIn } from '../foundation/session/person-session.js';
import { t } from '../foundation/text/text.js';

const FIELD_OF_CODE = {
  EMAIL_TAKEN: 'email',
  PASSWORD_TOO_COMMON: 'password',
  PASSWORD_BREACHED: 'password',
  PASSWORD_PERSONAL: 'password',
  INVITATION_INVALID: 'invitation',
  INVITATION_REQUIRED: 'invitation',
} as const;

function SignUpForm({
  options,
  onDone,
}: {
  readonly options: SignInOptions;
  readonly onDone: (email: string) => void;
}) {
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [invitation, setInvitation] = useState('');
  const action = useAction(async () => {
    const code = invitation.trim() === '' ? {} : { invitation };
    keepSession(await sendOpenly<SignedIn>('auth/register', { email, password, ...code }));
    onDone(email.trim());
  });
  const problems = useProblems<'email' | 'password' | 'invitation'>(action.failure, FIELD_OF_CODE);
  const check = () =>
    problems.set({
      email: email.trim() === '' ? t('account.emailMissing') : undefined,
      password: findPasswordProblem(password),
    });
  return (
    <Form action={action} submit={t('account.create')} check={check} explained={Object.keys(FIELD_OF_CODE)} wide focus>
      <EmailField label={t('account.email')} value={email} onValue={setEmail} error={problems.of('email')} required />
      <NewPassword
        label={t('account.password')}
        value={password}
        onValue={setPassword}
        error={problems.of('password')}
      />
      {options.sign_up === 'invite' && (
        <Field
          label={t('account.invitationCode')}
          hint={t('account.invitationHint')}
          value={invitation}
          onValue={setInvitation}
          error={problems.of('invitation')}
          autocomplete="off"
          spellcheck={false}
        />
      )}
    </Form>
  );
}

function Offer({ options, onDone }: { readonly options: SignInOptions; readonly onDone: (email: string) => void }) {
  if (options.sign_up === 'closed')
    return (
      <SmallPage title={t('account.closedTitle')} lead={t('account.closedLead')}>
        <ToSignIn label={t('account.haveAccount')} />
      </SmallPage>
    );
  return (
    <SmallPage title={t('account.signUpTitle')} lead={t(`account.signUpLeads.${options.sign_up}`)}>
      {options.providers.length > 0 && (
        <>
          <ProviderButtons options={options} />
          <Or />
        </>
      )}
      <SignUpForm options={options} onDone={onDone} />
      <ToSignIn label={t('account.haveAccount')} />
    </SmallPage>
  );
}

function SignUp() {
  const options = useSignInOptions();
  const [email, setEmail] = useState<string | undefined>();
  if (options.data === undefined)
    return (
      <SmallPage title={t('account.signUpTitle')}>
        <Loads from={options}>{() => null}</Loads>
      </SmallPage>
    );
  if (email === undefined) return <Offer options={options.data} onDone={setEmail} />;
  // Where no mail was sent there is nothing to look for.
  const isMailed = options.data.mails && options.data.sign_up !== 'open';
  return (
    <SmallPage title={t('account.readyTitle')} focus>
      {isMailed && <CheckMail email={email} />}
      <ButtonLink kind="primary" href="dashboard">
        {t('account.toDashboard')}
      </ButtonLink>
    </SmallPage>
  );
}

void mount(SignUp);
