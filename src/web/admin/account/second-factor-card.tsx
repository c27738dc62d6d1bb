import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { ConfirmedSecondFactorSchema } from '../../../features/admin/session/session-schemas.js';
import { PasswordField } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { Badge } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { AnyCodeField, CodeField, useCode } from '../../foundation/second-factor/code-field.js';
import { EnrolmentSecret, type PendingFactor } from '../../foundation/second-factor/enrolment-secret.js';
import { RecoveryCodes } from '../../foundation/second-factor/recovery-codes.js';
import { t } from '../../foundation/text/text.js';
import { api, begin, loadMe, me, type SignedIn } from '../session.js';

type Confirmed = Static<typeof ConfirmedSecondFactorSchema>;

interface TypedPassword {
  readonly value: string;
  readonly error: string | undefined;
  readonly set: (value: string) => void;
  readonly check: () => boolean;
}

function usePassword(): TypedPassword {
  const [value, set] = useState('');
  const [checked, setChecked] = useState(false);
  return {
    value,
    error: checked && value === '' ? t('admin.missing') : undefined,
    set,
    check: () => {
      setChecked(true);
      return value !== '';
    },
  };
}

function CurrentPassword({ password }: { readonly password: TypedPassword }) {
  return (
    <PasswordField
      label={t('admin.account.currentPassword')}
      value={password.value}
      onValue={password.set}
      error={password.error}
      autocomplete="current-password"
    />
  );
}

/** Asks for the password, before the secret is made. */
function Begin({ onPending }: { readonly onPending: (pending: PendingFactor) => void }) {
  const password = usePassword();
  const action = useAction(async () => {
    onPending(await api.post<PendingFactor>('admin/second-factor', { current_password: password.value }));
  });
  return (
    <Form action={action} submit={t('secondFactor.setUp')} check={password.check}>
      <CurrentPassword password={password} />
    </Form>
  );
}

/** Shows the secret, and turns the second factor on with a first code. */
function Confirm({ pending, onConfirmed }: { pending: PendingFactor; onConfirmed: (confirmed: Confirmed) => void }) {
  const code = useCode();
  const action = useAction(async () => {
    const confirmed = await api.post<Confirmed>('admin/second-factor/confirm', { totp: code.value });
    announce(t('secondFactor.turnedOn'));
    onConfirmed(confirmed);
  });
  return (
    <div class="stack">
      <EnrolmentSecret pending={pending} />
      <Form action={action} submit={t('secondFactor.turnOn')} check={code.check}>
        <CodeField code={code} label={t('secondFactor.firstCode')} />
      </Form>
    </div>
  );
}

function Remove({ onRemoved }: { readonly onRemoved: () => Promise<void> }) {
  const [password, code] = [usePassword(), useCode()];
  const action = useAction(async () => {
    await api.post('admin/second-factor/remove', { current_password: password.value, totp: code.value });
    announce(t('secondFactor.turnedOff'));
    await onRemoved();
  });
  const check = () => [password.check(), code.check()].every(Boolean);
  return (
    <Form action={action} kind="danger" submit={t('secondFactor.turnOff')} check={check}>
      <CurrentPassword password={password} />
      <AnyCodeField code={code} />
    </Form>
  );
}

/** Sets up the admin's second factor, or turns it off. */
export function SecondFactorCard() {
  const [pending, setPending] = useState<PendingFactor | undefined>();
  const [confirmed, setConfirmed] = useState<Confirmed | undefined>();
  const isOn = me.value?.second_factor === true || confirmed !== undefined;
  const status = <Badge tone={isOn ? 'good' : 'plain'}>{t(isOn ? 'secondFactor.on' : 'secondFactor.off')}</Badge>;
  const keep = ({ recovery_codes: _kept, ...session }: Confirmed) => {
    setConfirmed(undefined);
    setPending(undefined);
    begin(session satisfies SignedIn);
  };
  return (
    <Card title={t('secondFactor.title')} lead={t('admin.account.factorLead')} actions={status}>
      {confirmed !== undefined ? (
        // The session they came with begins when they are put away.
        <RecoveryCodes
          codes={confirmed.recovery_codes}
          name={me.value?.username ?? ''}
          onKept={() => keep(confirmed)}
        />
      ) : pending !== undefined ? (
        <Confirm pending={pending} onConfirmed={setConfirmed} />
      ) : isOn ? (
        <Remove onRemoved={loadMe} />
      ) : (
        <Begin onPending={setPending} />
      )}
    </Card>
  );
}
