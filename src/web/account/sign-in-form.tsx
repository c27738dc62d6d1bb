import { useState } from 'preact/hooks';
import { EmailField, PasswordField } from '../foundation/components/field.js';
import { Form } from '../foundation/components/form.js';
import { Loads } from '../foundation/components/loads.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { findChallenge, signIn } from '../foundation/session/person-session.js';
import { t } from '../foundation/text/text.js';
import { useSignInOptions } from './options.js';
import { Or, ProviderButtons } from './provider-buttons.js';
import { SecondStep } from './second-step.js';
import { useProblems } from './use-fields.js';

/** Shows the form people sign in with, the other ways in, and the ways to what they lack. */
export function SignInForm({
  email: known = '',
  focus = true,
  onSignedIn,
}: {
  readonly email?: string;
  /** Whether the form is what the page begins with. */
  readonly focus?: boolean;
  readonly onSignedIn?: () => void;
}) {
  const [email, setEmail] = useState(known);
  const [password, setPassword] = useState('');
  const options = useSignInOptions();
  const action = useAction(async () => {
    await signIn(email, password);
    onSignedIn?.();
  });
  const problems = useProblems<'email' | 'password'>(undefined);
  const check = () =>
    problems.set({
      email: email.trim() === '' ? t('account.emailMissing') : undefined,
      password: password === '' ? t('account.passwordMissing') : undefined,
    });
  const challenge = findChallenge(action.failure);
  if (challenge !== undefined) {
    const restart = () => {
      setPassword('');
      action.clear();
    };
    return <SecondStep challenge={challenge} onSignedIn={onSignedIn} onRestart={restart} />;
  }
  return (
    <>
      <Form action={action} submit={t('account.signIn')} check={check} wide focus={focus}>
        <EmailField label={t('account.email')} value={email} onValue={setEmail} error={problems.of('email')} required />
        <PasswordField
          label={t('account.password')}
          value={password}
          onValue={setPassword}
          error={problems.of('password')}
          autocomplete="current-password"
          required
        />
      </Form>
      {/* Below the form, which must not move under a finger once it is known what else there is. */}
      <Loads from={options}>
        {(offered) =>
          offered.providers.length > 0 && (
            <>
              <Or />
              <ProviderButtons options={offered} />
            </>
          )
        }
      </Loads>
      <p class="ways">
        {options.data?.mails === true && <a href="forgot-password">{t('account.forgot')}</a>}
        {options.data !== undefined && options.data.sign_up !== 'closed' && <a href="sign-up">{t('account.create')}</a>}
      </p>
    </>
  );
}
