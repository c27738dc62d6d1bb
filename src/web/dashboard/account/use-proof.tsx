import type { ComponentChild } from 'preact';
import { useState } from 'preact/hooks';
import { PasswordOwner } from '../../account/new-password.js';
import { ApiFailure } from '../../foundation/api/failure.js';
import { Button } from '../../foundation/components/button.js';
import { Dialog } from '../../foundation/components/dialog.js';
import { Field, PasswordField } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { Failure } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { AnyCodeField, useCode } from '../../foundation/second-factor/code-field.js';
import { api, person } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';

/** Who waits for the person to prove that it is them. */
interface Waiting {
  readonly proved: () => void;
  readonly givenUp: () => void;
}

/** Does what needs a fresh proof: asks for it where the server does, and then does it. */
export interface Proof {
  readonly guard: <T>(work: () => Promise<T>) => Promise<T>;
  /** To be shown while the proof is asked for. */
  readonly dialog: ComponentChild;
}

function ProofDialog({
  hasPassword,
  hasFactor,
  waiting,
}: {
  readonly hasPassword: boolean;
  readonly hasFactor: boolean;
  readonly waiting: Waiting;
}) {
  const factor = useCode();
  const [value, setValue] = useState('');
  const [byCode, setByCode] = useState(!hasPassword);
  const prove = useAction(async () => {
    const second = asksFactor && { totp: factor.value };
    await api.post('auth/reauthenticate', { ...(byCode ? { code: value } : { password: value }), ...second });
    waiting.proved();
  });
  const asksFactor = hasFactor || prove.failure?.code === 'SECOND_FACTOR_REQUIRED';
  const mail = useAction(async () => {
    await api.post('auth/reauthenticate/code');
    setByCode(true);
    setValue('');
    announce(t('profile.codeMailed'));
  });
  return (
    <Dialog title={t('profile.proofTitle')} onClose={waiting.givenUp}>
      <p>{t('profile.proofLead')}</p>
      <Form
        action={prove}
        submit={t('profile.prove')}
        check={() => !asksFactor || factor.check()}
        more={
          <Button busy={mail.busy} onClick={() => void mail.run()}>
            {t('profile.mailCode')}
          </Button>
        }
      >
        {byCode ? (
          <Field
            label={t('profile.code')}
            hint={t('profile.codeHint')}
            value={value}
            onValue={setValue}
            autocomplete="one-time-code"
            inputMode="numeric"
          />
        ) : (
          <>
            <PasswordOwner email={person.value?.email ?? ''} />
            <PasswordField
              label={t('account.password')}
              value={value}
              onValue={setValue}
              autocomplete="current-password"
            />
          </>
        )}
        {asksFactor && <AnyCodeField code={factor} />}
        <Failure failure={mail.failure} />
      </Form>
    </Dialog>
  );
}

/**
 * Returns what guards acts that need a fresh proof.
 *
 * @param hasPassword whether the person can prove it with a password
 * @param hasFactor whether a code of a second factor is needed too
 */
export function useProof(hasPassword: boolean, hasFactor = false): Proof {
  const [waiting, setWaiting] = useState<Waiting | undefined>();
  const ask = () =>
    new Promise<boolean>((resolve) => {
      const end = (proved: boolean) => () => {
        setWaiting(undefined);
        resolve(proved);
      };
      setWaiting({ proved: end(true), givenUp: end(false) });
    });
  const guard = async <T,>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ApiFailure && error.code === 'PROOF_REQUIRED')) throw error;
      if (!(await ask())) throw new ApiFailure('', 'PROOF_GIVEN_UP');
      return work();
    }
  };
  return {
    guard,
    dialog: waiting && <ProofDialog hasPassword={hasPassword} hasFactor={hasFactor} waiting={waiting} />,
  };
}
