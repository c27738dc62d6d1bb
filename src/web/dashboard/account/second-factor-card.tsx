import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { OwnSecondFactorSchema } from '../../../auth/second-factor/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Form } from '../../foundation/components/form.js';
import { Loads } from '../../foundation/components/loads.js';
import { Badge, Failure, Notice } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { formatDate } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { CodeField, useCode } from '../../foundation/second-factor/code-field.js';
import { EnrolmentSecret, type PendingFactor } from '../../foundation/second-factor/enrolment-secret.js';
import { RecoveryCodes } from '../../foundation/second-factor/recovery-codes.js';
import { api } from '../../foundation/session/person-session.js';
import { plural, t } from '../../foundation/text/text.js';
import type { Profile } from './profile.js';
import { FactorDialog } from './second-factor-dialog.js';
import { useProof } from './use-proof.js';

type OwnFactor = Static<typeof OwnSecondFactorSchema>;
const PATH = 'users/me/second-factor';
/** Recovery codes from which on new ones are recommended. */
const FEW = 3;

/** Shows the secret, and turns the second factor on with a first code. */
function Confirm({
  pending,
  onConfirmed,
  onCancel,
}: {
  readonly pending: PendingFactor;
  readonly onConfirmed: (codes: readonly string[]) => void;
  readonly onCancel: () => void;
}) {
  const code = useCode();
  const action = useAction(async () => {
    const { recovery_codes } = await api.post<{ recovery_codes: string[] }>(`${PATH}/confirm`, { totp: code.value });
    announce(t('secondFactor.turnedOn'));
    onConfirmed(recovery_codes);
  });
  return (
    <div class="stack">
      <EnrolmentSecret pending={pending} />
      <Form
        action={action}
        submit={t('secondFactor.turnOn')}
        check={code.check}
        more={<Button onClick={onCancel}>{t('common.cancel')}</Button>}
      >
        <CodeField code={code} label={t('secondFactor.firstCode')} />
      </Form>
    </div>
  );
}

function Begin({
  profile,
  onPending,
}: {
  readonly profile: Profile;
  readonly onPending: (pending: PendingFactor) => void;
}) {
  const proof = useProof(profile.has_password);
  const begin = useAction(async () => onPending(await proof.guard(() => api.post<PendingFactor>(PATH, {}))));
  return (
    <div class="stack">
      <Failure failure={begin.failure?.code === 'PROOF_GIVEN_UP' ? undefined : begin.failure} />
      <div class="actions">
        <Button busy={begin.busy} onClick={() => void begin.run()}>
          {t('secondFactor.setUp')}
        </Button>
      </div>
      {proof.dialog}
    </div>
  );
}

/** Shows since when it is on and how many recovery codes are left, and what can be done with both. */
function TurnedOn({
  profile,
  factor: { enabled_at, recovery_codes_left },
  onRemoved,
  onCodes,
}: {
  readonly profile: Profile;
  readonly factor: OwnFactor;
  readonly onRemoved: () => void;
  readonly onCodes: (codes: readonly string[]) => void;
}) {
  const [act, setAct] = useState<'renew' | 'remove' | undefined>();
  const isFew = recovery_codes_left <= FEW;
  return (
    <div class="stack">
      <p>
        {enabled_at !== null && t('secondFactor.since', { date: formatDate(enabled_at) })}{' '}
        {plural('secondFactor.codesLeft', recovery_codes_left)}
      </p>
      {isFew && (
        <Notice tone="warning">
          <p>{t('secondFactor.fewCodes')}</p>
        </Notice>
      )}
      <div class="actions">
        <Button onClick={() => setAct('renew')}>{t('secondFactor.renew')}</Button>
        <Button kind="danger" onClick={() => setAct('remove')}>
          {t('secondFactor.turnOff')}
        </Button>
      </div>
      {act !== undefined && (
        <FactorDialog
          act={act}
          profile={profile}
          onDone={act === 'renew' ? onCodes : onRemoved}
          onClose={() => setAct(undefined)}
        />
      )}
    </div>
  );
}

/** Sets up the person's second factor, makes new recovery codes, or turns it off. */
export function SecondFactorCard({
  profile,
  onChanged,
}: {
  readonly profile: Profile;
  readonly onChanged: () => void;
}) {
  const loaded = useLoad((signal) => api.get<OwnFactor>(PATH, {}, signal), []);
  const [pending, setPending] = useState<PendingFactor | undefined>();
  const [codes, setCodes] = useState<readonly string[] | undefined>();
  const showCodes = (made: readonly string[]) => {
    setPending(undefined);
    setCodes(made);
    loaded.reload();
  };
  const settle = () => {
    setCodes(undefined);
    loaded.reload();
    onChanged();
  };
  const isOn = loaded.data?.enabled === true;
  const status = loaded.data && (
    <Badge tone={isOn ? 'good' : 'plain'}>{t(isOn ? 'secondFactor.on' : 'secondFactor.off')}</Badge>
  );
  return (
    <Card title={t('secondFactor.title')} lead={t('secondFactor.lead')} actions={status}>
      {codes !== undefined ? (
        <RecoveryCodes codes={codes} name={profile.email} onKept={settle} />
      ) : pending !== undefined ? (
        <Confirm pending={pending} onConfirmed={showCodes} onCancel={() => setPending(undefined)} />
      ) : (
        <Loads from={loaded}>
          {(factor) =>
            factor.enabled ? (
              <TurnedOn profile={profile} factor={factor} onRemoved={settle} onCodes={showCodes} />
            ) : (
              <Begin profile={profile} onPending={setPending} />
            )
          }
        </Loads>
      )}
    </Card>
  );
}
