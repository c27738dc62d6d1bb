import { useState } from 'preact/hooks';
import { FormDialog } from '../../foundation/components/dialog.js';
import { Field } from '../../foundation/components/field.js';
import { announce } from '../../foundation/components/toasts.js';
import { formatCount } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { go } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import type { Act, ActProps } from '../acts/acts.js';
import { ConfirmAct } from '../acts/confirm-act.js';
import { MoveDialog } from '../moves/move-dialog.js';
import { api } from '../session.js';
import type { DeviceDetail } from './device-detail.js';

type Props = ActProps<DeviceDetail>;

const pathOf = ({ device_id }: DeviceDetail) => `admin/devices/${device_id}`;

function MoveTokens({ subject: { device_id: id, name, allocated, remaining }, onDone, onClose }: Props) {
  return <MoveDialog subject={{ kind: 'device', id, name, allocated, remaining }} onMoved={onDone} onClose={onClose} />;
}

function BlockDialog({ subject: { device_id, name, blocked: wasBlocked }, ...props }: Props) {
  const blocked = !wasBlocked;
  const word = blocked ? 'block' : 'unblock';
  return (
    <ConfirmAct
      {...props}
      title={t(`admin.devices.${word}Title`, { name })}
      submit={t(`admin.devices.${word}`)}
      kind={blocked ? 'danger' : 'primary'}
      act={async () => {
        await api.post('admin/block-device', { device_id, blocked });
        return t(`admin.devices.said.${word}`, { name });
      }}
    >
      <p>{t(`admin.devices.${word}Lead`)}</p>
    </ConfirmAct>
  );
}

function RenameDialog({ subject: device, onDone, onClose }: Props) {
  const [name, setName] = useState(device.name);
  const [checked, setChecked] = useState(false);
  const action = useAction(async () => {
    await api.patch(pathOf(device), { name: name.trim() });
    announce(t('admin.devices.said.rename', { name: name.trim() }));
    onDone();
    onClose();
  });
  return (
    <FormDialog
      title={t('admin.devices.rename')}
      onClose={onClose}
      action={action}
      submit={t('admin.save')}
      check={() => {
        setChecked(true);
        return name.trim() !== '';
      }}
    >
      <Field
        label={t('admin.devices.name')}
        value={name}
        onValue={setName}
        error={checked && name.trim() === '' ? t('admin.missing') : undefined}
        maxLength={200}
        autocomplete="off"
      />
    </FormDialog>
  );
}

function RotateDialog({ subject: device, ...props }: Props) {
  return (
    <ConfirmAct
      {...props}
      title={t('admin.devices.rotateTitle')}
      submit={t('admin.devices.rotate')}
      act={async () => {
        await api.post(`${pathOf(device)}/rotate`);
        return t('admin.devices.said.rotate', { name: device.name });
      }}
    >
      <p>{t('admin.devices.rotateLead')}</p>
    </ConfirmAct>
  );
}

function RemoveDialog({ subject: device, onClose }: Props) {
  const { name, remaining } = device;
  return (
    <ConfirmAct
      title={t('admin.devices.removeTitle', { name })}
      submit={t('admin.devices.remove')}
      word={name}
      act={async () => {
        const { returned } = await api.delete<{ returned: number }>(pathOf(device));
        return t('admin.devices.said.remove', { name, tokens: formatCount(returned) });
      }}
      onDone={() => go('/devices')}
      onClose={onClose}
    >
      <p>{t('admin.devices.removeLead', { tokens: formatCount(remaining) })}</p>
    </ConfirmAct>
  );
}

/** What can be done with a device. */
export const DEVICE_ACTS: readonly Act<DeviceDetail>[] = [
  { name: 'move', toLabel: () => t('admin.moves.open'), kind: 'primary', Dialog: MoveTokens },
  { name: 'rename', toLabel: () => t('admin.devices.rename'), Dialog: RenameDialog },
  {
    name: 'block',
    toLabel: ({ blocked }) => t(blocked ? 'admin.devices.unblock' : 'admin.devices.block'),
    Dialog: BlockDialog,
  },
  { name: 'rotate', toLabel: () => t('admin.devices.rotate'), Dialog: RotateDialog },
  { name: 'remove', toLabel: () => t('admin.devices.remove'), kind: 'danger', Dialog: RemoveDialog },
];
