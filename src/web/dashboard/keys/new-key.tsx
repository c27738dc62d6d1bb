import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { CreatedApiKeySchema } from '../../../auth/api-keys/schemas.js';
import type { ApiKeyScope } from '../../../auth/api-keys/scopes.js';
import { Button } from '../../foundation/components/button.js';
import { Checkbox, Select } from '../../foundation/components/choice.js';
import { CopyOnce } from '../../foundation/components/copy-once.js';
import { Field } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { api } from '../../foundation/session/person-session.js';
import { plural, t } from '../../foundation/text/text.js';
import type { Profile } from '../account/profile.js';
import { useProof } from '../account/use-proof.js';

const SCOPES: readonly ApiKeyScope[] = ['usage:write', 'usage:read', 'chat', 'settings', 'account'];
const LIVES = ['30', '90', '365', 'never'] as const;
type Life = (typeof LIVES)[number];

interface Problems {
  readonly name?: string;
  readonly scopes?: string;
}

/** Asks what a new key is for, makes it, and shows it this once. */
export function NewKey({ onMade, onClose }: { readonly onMade: () => void; readonly onClose: () => void }) {
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<readonly ApiKeyScope[]>(['usage:write', 'usage:read']);
  const [life, setLife] = useState<Life>('365');
  const [secret, setSecret] = useState<string | undefined>();
  const [problems, setProblems] = useState<Problems>({});
  // Where there is a second factor, a key needs a fresh proof, as it asks for no code later.
  const { data: profile } = useLoad((signal) => api.get<Profile>('users/me', {}, signal), []);
  const proof = useProof(profile?.has_password ?? true, profile?.second_factor);
  const action = useAction(async () => {
    const body = { name, scopes, expires_in_days: life === 'never' ? null : Number(life) };
    const create = () => api.post<Static<typeof CreatedApiKeySchema>>('users/me/api-keys', body);
    const made = await proof.guard(create);
    setSecret(made.key);
    onMade();
  });
  const check = () => {
    const found: Problems = {
      ...(name.trim() === '' && { name: t('keys.nameMissing') }),
      ...(scopes.length === 0 && { scopes: t('keys.scopesMissing') }),
    };
    setProblems(found);
    return Object.keys(found).length === 0;
  };
  if (secret !== undefined)
    return (
      <div class="stack">
        <CopyOnce label={t('keys.secret', { name: name.trim() })} secret={secret} />
        <div class="actions">
          <Button onClick={onClose}>{t('common.done')}</Button>
        </div>
      </div>
    );
  const toggle = (scope: ApiKeyScope, on: boolean) =>
    setScopes(on ? [...scopes, scope] : scopes.filter((one) => one !== scope));
  const lives = LIVES.map((value) => ({
    value,
    label: value === 'never' ? t('keys.never') : plural('keys.days', Number(value)),
  }));
  return (
    <>
      <Form action={action} submit={t('keys.create')} check={check}>
        <Field
          label={t('keys.name')}
          hint={t('keys.nameHint')}
          value={name}
          onValue={setName}
          error={problems.name}
          maxLength={100}
          autocomplete="off"
        />
        <fieldset class="choices">
          <legend>{t('keys.scopes')}</legend>
          {SCOPES.map((scope) => (
            <Checkbox
              key={scope}
              label={t(`keys.scope.${scope}.label`)}
              hint={t(`keys.scope.${scope}.hint`)}
              checked={scopes.includes(scope)}
              onChecked={(on) => toggle(scope, on)}
            />
          ))}
          {problems.scopes !== undefined && (
            <p class="error" role="alert">
              {problems.scopes}
            </p>
          )}
        </fieldset>
        <Select label={t('keys.expires')} value={life} options={lives} onValue={setLife} />
      </Form>
      {proof.dialog}
    </>
  );
}
