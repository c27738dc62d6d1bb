import { useState } from 'preact/hooks';
import { Checkbox, Select } from '../../foundation/components/choice.js';
import { FormDialog } from '../../foundation/components/dialog.js';
import { Field, PasswordField } from '../../foundation/components/field.js';
import { announce } from '../../foundation/components/toasts.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { api, me } from '../session.js';
import type { Admin } from './admin.js';

const ROLES = ['viewer', 'operator', 'owner'] as const;
const SHORTEST_PASSWORD = 8;

/** Makes an admin, or changes the role, password or lost second factor of one. */
export function AdminDialog({
  admin,
  onDone,
  onClose,
}: {
  readonly admin: Admin | undefined;
  readonly onDone: () => void;
  readonly onClose: () => void;
}) {
  const [username, setUsername] = useState(admin?.username ?? '');
  const [role, setRole] = useState(admin?.role ?? 'viewer');
  const [password, setPassword] = useState('');
  const [resets, setResets] = useState(false);
  const [checked, setChecked] = useState(false);
  const isOwn = admin !== undefined && admin.id === me.value?.id;
  const needsPassword = admin === undefined || password !== '';
  const isPassword = !needsPassword || password.length >= SHORTEST_PASSWORD;
  const action = useAction(async () => {
    if (admin === undefined) await api.post('admin/admins', { username: username.trim(), password, role });
    else {
      const change = { role, ...(password !== '' && { password }), reset_second_factor: resets };
      await api.patch(`admin/admins/${admin.id}`, change);
    }
    announce(t(admin === undefined ? 'admin.admins.saidAdd' : 'admin.admins.saidChange', { name: username.trim() }));
    onDone();
    onClose();
  });
  return (
    <FormDialog
      title={t(admin === undefined ? 'admin.admins.add' : 'admin.admins.change')}
      onClose={onClose}
      action={action}
      submit={t('admin.save')}
      check={() => {
        setChecked(true);
        return username.trim() !== '' && isPassword;
      }}
    >
      <Field
        label={t('admin.signIn.username')}
        value={username}
        onValue={setUsername}
        readOnly={admin !== undefined}
        error={checked && username.trim() === '' ? t('admin.missing') : undefined}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        maxLength={100}
      />
      <Select
        label={t('admin.admins.role')}
        hint={t(`admin.admins.roleHints.${role}`)}
        value={role}
        options={ROLES.map((value) => ({ value, label: t(`admin.admins.roles.${value}`) }))}
        onValue={setRole}
      />
      {!isOwn && (
        <PasswordField
          label={t(admin === undefined ? 'admin.signIn.password' : 'admin.admins.newPassword')}
          hint={t(admin === undefined ? 'admin.admins.passwordHint' : 'admin.admins.newPasswordHint')}
          value={password}
          onValue={setPassword}
          error={checked && !isPassword ? t('admin.account.passwordShort') : undefined}
          autocomplete="new-password"
        />
      )}
      {!isOwn && admin?.second_factor === true && (
        <Checkbox label={t('admin.admins.resetFactor')} checked={resets} onChecked={setResets} />
      )}
    </FormDialog>
  );
}
