import { useState } from 'preact/hooks';
import { Field, PasswordField } from '../foundation/components/field.js';
import { Form } from '../foundation/components/form.js';
import { Notice } from '../foundation/components/notice.js';
import { Title } from '../foundation/components/view.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { t } from '../foundation/text/text.js';
import { leaving, signIn } from './session.js';

const ASKS_FOR_CODE = 'SECOND_FACTOR_REQUIRED';

/** Shows what admins sign in with; a code is asked for where the server says so. */
export function SignIn() {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [asksForCode, setAsksForCode] = useState(false);
  const [missing, setMissing] = useState(false);
  const action = useAction(() => signIn(username, password, code));
  const isAsked = asksForCode || action.failure?.code === ASKS_FOR_CODE;
  if (isAsked && !asksForCode) setAsksForCode(true);
  const check = () => {
    const isComplete = username.trim() !== '' && password !== '' && (!isAsked || code.trim() !== '');
    setMissing(!isComplete);
    return isComplete;
  };
  const error = (value: string) => (missing && value.trim() === '' ? t('admin.missing') : undefined);
  return (
    <div class="narrow card">
      <div>
        <Title>{t('admin.signIn.title')}</Title>
        <p class="lead">{t('admin.signIn.lead')}</p>
      </div>
      {leaving.value !== undefined && (
        <Notice>
          <p role="status">{t(`dashboard.reasons.${leaving.value}`)}</p>
        </Notice>
      )}
      <Form action={action} submit={t('admin.signIn.submit')} check={check} explained={[ASKS_FOR_CODE]} wide focus>
        <Field
          name="username"
          label={t('admin.signIn.username')}
          value={username}
          onValue={setUsername}
          error={error(username)}
          autocomplete="username"
          autocapitalize="none"
          spellcheck={false}
        />
        <PasswordField
          label={t('admin.signIn.password')}
          value={password}
          onValue={setPassword}
          error={error(password)}
          autocomplete="current-password"
        />
        {isAsked && (
          <Field
            label={t('admin.signIn.code')}
            hint={t('admin.signIn.codeHint')}
            value={code}
            onValue={setCode}
            error={error(code)}
            autocomplete="one-time-code"
            inputmode="numeric"
            autoFocus
          />
        )}
      </Form>
    </div>
  );
}
