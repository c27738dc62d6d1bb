import { useState } from 'preact/hooks';
import { Checkbox } from '../../foundation/components/choice.js';
import { FormDialog } from '../../foundation/components/dialog.js';
import { Field } from '../../foundation/components/field.js';
import { announce } from '../../foundation/components/toasts.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { api } from '../session.js';
import { type Alerts, WHOSE } from './alerts.js';

const MOST = 10;
const split = (text: string) => text.split(/[\s,;%]+/).filter((part) => part !== '');

/** Parses percents somebody typed, such as "80, 100"; undefined where one is none. */
function parseThresholds(text: string): number[] | undefined {
  const numbers = [...new Set(split(text).map(Number))];
  const isValid = numbers.every((value) => Number.isInteger(value) && value >= 1 && value <= 100);
  return isValid && numbers.length <= MOST ? numbers : undefined;
}

/** Changes at which thresholds is warned, and who. */
export function AlertsDialog({
  alerts,
  onDone,
  onClose,
}: {
  readonly alerts: Alerts;
  readonly onDone: (alerts: Alerts) => void;
  readonly onClose: () => void;
}) {
  const [device, setDevice] = useState(alerts.device_thresholds.join(', '));
  const [user, setUser] = useState(alerts.user_thresholds.join(', '));
  const [pool, setPool] = useState(alerts.pool_thresholds.join(', '));
  const [mailPeople, setMailPeople] = useState(alerts.mail_people);
  const [mailTo, setMailTo] = useState(alerts.mail_to.join(', '));
  const [checked, setChecked] = useState(false);
  const typed = { device: [device, setDevice], user: [user, setUser], pool: [pool, setPool] } as const;
  const parsed = { device: parseThresholds(device), user: parseThresholds(user), pool: parseThresholds(pool) };
  const addresses = split(mailTo);
  const areAddresses = addresses.every((address) => address.includes('@')) && addresses.length <= MOST;
  const action = useAction(async () => {
    const change = {
      device_thresholds: parsed.device,
      user_thresholds: parsed.user,
      pool_thresholds: parsed.pool,
      mail_people: mailPeople,
      mail_to: addresses,
    };
    onDone(await api.put<Alerts>('admin/alerts', change));
    announce(t('admin.alerts.said'));
    onClose();
  });
  return (
    <FormDialog
      title={t('admin.alerts.change')}
      onClose={onClose}
      action={action}
      submit={t('admin.save')}
      check={() => {
        setChecked(true);
        return WHOSE.every((whose) => parsed[whose] !== undefined) && areAddresses;
      }}
    >
      {WHOSE.map((whose) => (
        <Field
          key={whose}
          label={t(`admin.alerts.of.${whose}`)}
          hint={whose === 'device' ? t('admin.alerts.hint') : undefined}
          value={typed[whose][0]}
          onValue={typed[whose][1]}
          error={checked && parsed[whose] === undefined ? t('admin.alerts.wrong') : undefined}
          autocomplete="off"
        />
      ))}
      <Checkbox label={t('admin.alerts.mailPeople')} checked={mailPeople} onChecked={setMailPeople} />
      <Field
        label={t('admin.alerts.mailTo')}
        hint={t('admin.alerts.mailToHint')}
        value={mailTo}
        onValue={setMailTo}
        error={checked && !areAddresses ? t('admin.people.emailWrong') : undefined}
        autocomplete="off"
      />
    </FormDialog>
  );
}
