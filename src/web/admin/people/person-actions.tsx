import { useState } from 'preact/hooks';
import { Checkbox, Select } from '../../foundation/components/choice.js';
import { go } from '../../foundation/router/router.js';
import { plural, t } from '../../foundation/text/text.js';
import type { Act, ActProps } from '../acts/acts.js';
import { ConfirmAct } from '../acts/confirm-act.js';
import { MoveDialog } from '../moves/move-dialog.js';
import { TIERS, type Tier } from '../plans/tiers.js';
import { api } from '../session.js';
import { type Person, toSubject } from './person.js';

type Props = ActProps<Person>;

const pathOf = ({ id }: Person) => `admin/users/${id}`;

function MoveTokens({ subject, onDone, onClose }: Props) {
  return <MoveDialog subject={toSubject(subject)} onMoved={onDone} onClose={onClose} />;
}

function SuspendDialog({ subject: person, ...props }: Props) {
  const { email } = person;
  const suspended = person.suspended_at === null;
  const word = suspended ? 'suspend' : 'unsuspend';
  return (
    <ConfirmAct
      {...props}
      title={t(`admin.people.${word}Title`, { email })}
      submit={t(`admin.people.bulk.${word}`)}
      kind={suspended ? 'danger' : 'primary'}
      act={async () => {
        await api.patch(pathOf(person), { suspended });
        return t(`admin.people.said.${word}`, { email });
      }}
    >
      <p>{t(`admin.people.${word}Lead`)}</p>
    </ConfirmAct>
  );
}

function PlanDialog({ subject: person, ...props }: Props) {
  const [tier, setTier] = useState<Tier>(person.tier);
  return (
    <ConfirmAct
      {...props}
      title={t('admin.people.planTitle')}
      submit={t('admin.people.bulk.plan')}
      kind="primary"
      act={async () => {
        await api.put(`${pathOf(person)}/plan`, { tier });
        return t('admin.people.said.plan', { email: person.email, plan: t(`admin.plans.tiers.${tier}`) });
      }}
    >
      <Select
        label={t('admin.people.plan')}
        hint={t('admin.people.planHint')}
        value={tier}
        options={TIERS.map((value) => ({ value, label: t(`admin.plans.tiers.${value}`) }))}
        onValue={setTier}
      />
    </ConfirmAct>
  );
}

function SessionsDialog({ subject: person, ...props }: Props) {
  const [endsKeys, setEndsKeys] = useState(false);
  return (
    <ConfirmAct
      {...props}
      title={t('admin.people.sessionsTitle')}
      submit={t('admin.people.bulk.end_sessions')}
      act={async () => {
        const path = `${pathOf(person)}/end-sessions`;
        const { ended } = await api.post<{ ended: number }>(path, { api_keys: endsKeys });
        return plural('admin.people.said.sessions', ended);
      }}
    >
      <p>{t('admin.people.sessionsLead')}</p>
      <Checkbox label={t('admin.people.endKeys')} checked={endsKeys} onChecked={setEndsKeys} />
    </ConfirmAct>
  );
}

function VerifyDialog({ subject: person, ...props }: Props) {
  return (
    <ConfirmAct
      {...props}
      title={t('admin.people.verifyTitle')}
      submit={t('admin.people.verify')}
      kind="primary"
      act={async () => {
        await api.post(`${pathOf(person)}/verify`);
        return t('admin.people.said.verify', { email: person.email });
      }}
    >
      <p>{t('admin.people.verifyLead')}</p>
    </ConfirmAct>
  );
}

/** Helps somebody who lost their phone: the second factor goes, and with it the sessions. */
function FactorDialog({ subject: person, ...props }: Props) {
  const { email } = person;
  return (
    <ConfirmAct
      {...props}
      title={t('admin.people.removeFactorTitle', { email })}
      submit={t('admin.people.removeFactor')}
      act={async () => {
        await api.delete(`${pathOf(person)}/second-factor`);
        return t('admin.people.said.factor', { email });
      }}
    >
      <p>{t('admin.people.removeFactorLead')}</p>
    </ConfirmAct>
  );
}

function DeleteDialog({ subject: person, onClose }: Props) {
  return (
    <ConfirmAct
      title={t('admin.people.deleteTitle')}
      submit={t('admin.people.delete')}
      word={person.email}
      act={async () => {
        await api.delete(pathOf(person));
        return t('admin.people.said.delete', { email: person.email });
      }}
      onDone={() => go('/people')}
      onClose={onClose}
    >
      <p>{t('admin.people.deleteLead')}</p>
    </ConfirmAct>
  );
}

/** What can be done with an account. */
export const PERSON_ACTS: readonly Act<Person>[] = [
  { name: 'move', toLabel: () => t('admin.moves.open'), kind: 'primary', Dialog: MoveTokens },
  { name: 'plan', toLabel: () => t('admin.people.bulk.plan'), Dialog: PlanDialog },
  {
    name: 'verify',
    toLabel: () => t('admin.people.verify'),
    isOffered: ({ email_verified }) => !email_verified,
    Dialog: VerifyDialog,
  },
  { name: 'sessions', toLabel: () => t('admin.people.bulk.end_sessions'), Dialog: SessionsDialog },
  {
    name: 'factor',
    toLabel: () => t('admin.people.removeFactor'),
    isOffered: ({ second_factor }) => second_factor,
    Dialog: FactorDialog,
  },
  {
    name: 'suspend',
    toLabel: ({ suspended_at }) =>
      t(suspended_at === null ? 'admin.people.bulk.suspend' : 'admin.people.bulk.unsuspend'),
    Dialog: SuspendDialog,
  },
  { name: 'delete', toLabel: () => t('admin.people.delete'), kind: 'danger', Dialog: DeleteDialog },
];
