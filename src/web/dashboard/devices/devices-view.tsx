import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Confirm, FormDialog } from '../../foundation/components/dialog.js';
import { Field } from '../../foundation/components/field.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Badge, Empty, Failure } from '../../foundation/components/notice.js';
import { Pager } from '../../foundation/components/pager.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatAgo, formatCount, formatDate } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { type OwnDevice, useOwnDevices } from './own-devices.js';

interface ActProps {
  readonly device: OwnDevice;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function Rename({ device, onClose, onDone }: ActProps) {
  const [name, setName] = useState(device.name);
  const [missing, setMissing] = useState(false);
  const action = useAction(async () => {
    await api.put(`users/me/devices/${device.id}`, { name });
    announce(t('devices.renamed', { name: name.trim() }));
    onDone();
    onClose();
  });
  const check = () => {
    setMissing(name.trim() === '');
    return name.trim() !== '';
  };
  return (
    <FormDialog
      title={t('devices.renameTitle', { name: device.name })}
      onClose={onClose}
      action={action}
      submit={t('common.save')}
      check={check}
    >
      <Field
        label={t('devices.name')}
        value={name}
        onValue={setName}
        error={missing ? t('devices.nameMissing') : undefined}
        maxLength={200}
        autocomplete="off"
      />
    </FormDialog>
  );
}

function Unlink({ device, onClose, onDone }: ActProps) {
  const action = useAction(async () => {
    await api.delete(`users/me/devices/${device.id}`);
    announce(t('devices.unlinked', { name: device.name }));
    onDone();
  });
  return (
    <Confirm
      title={t('devices.unlinkTitle', { name: device.name })}
      action={action}
      submit={t('devices.unlink')}
      onClose={onClose}
    >
      <p>{t('devices.unlinkQuestion')}</p>
    </Confirm>
  );
}

type Act = { readonly kind: 'rename' | 'unlink'; readonly device: OwnDevice };

const listColumns = (choose: (act: Act) => void): readonly Column<OwnDevice>[] => [
  {
    key: 'name',
    label: t('devices.name'),
    cell: ({ name, blocked }) => (
      <>
        {name} {blocked && <Badge tone="bad">{t('devices.blocked')}</Badge>}
      </>
    ),
    heads: true,
  },
  {
    key: 'lastUse',
    label: t('devices.lastUse'),
    cell: ({ last_used_at }) => (last_used_at === null ? t('devices.never') : formatAgo(last_used_at)),
  },
  { key: 'seen', label: t('devices.seen'), cell: ({ last_registered_at }) => formatAgo(last_registered_at) },
  { key: 'since', label: t('devices.since'), cell: ({ created_at }) => formatDate(created_at) },
  { key: 'remaining', label: t('tokens.leftColumn'), cell: ({ remaining }) => formatCount(remaining), numeric: true },
  {
    key: 'acts',
    label: t('common.actions'),
    acts: true,
    cell: (device) => (
      <>
        <Button label={`${t('devices.rename')}: ${device.name}`} onClick={() => choose({ kind: 'rename', device })}>
          {t('devices.rename')}
        </Button>
        <Button
          kind="danger"
          label={`${t('devices.unlink')}: ${device.name}`}
          onClick={() => choose({ kind: 'unlink', device })}
        >
          {t('devices.unlink')}
        </Button>
      </>
    ),
  },
];

/** Shows the devices of the person, and renames or unlinks them. */
export function DevicesView() {
  const pages = useOwnDevices();
  const [act, setAct] = useState<Act | undefined>();
  const close = () => setAct(undefined);
  return (
    <View
      title={t('devices.title')}
      lead={t('devices.lead')}
      actions={
        <Button busy={pages.from.loading} onClick={pages.from.reload}>
          {t('common.refresh')}
        </Button>
      }
    >
      <Card>
        <LoadedTable
          from={pages.from}
          toRows={() => pages.rows}
          none={
            <Empty title={t('devices.none')}>
              <p>{t('devices.noneLead')}</p>
            </Empty>
          }
          caption={t('devices.title')}
          columns={listColumns(setAct)}
          rowKey={({ id }) => id}
        />
        <Failure failure={pages.next.failure} />
        <Pager more={pages.more} busy={pages.next.busy} onMore={() => void pages.next.run()} />
      </Card>
      {act?.kind === 'rename' && <Rename device={act.device} onClose={close} onDone={pages.from.reload} />}
      {act?.kind === 'unlink' && <Unlink device={act.device} onClose={close} onDone={pages.from.reload} />}
    </View>
  );
}
