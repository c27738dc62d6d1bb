import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { SettingsDocumentSchema, SettingsHistorySchema } from '../../../features/settings/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Confirm, Dialog } from '../../foundation/components/dialog.js';
import { Loads } from '../../foundation/components/loads.js';
import { Empty } from '../../foundation/components/notice.js';
import { type Column, Table } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDateTime } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { api } from '../../foundation/session/person-session.js';
import { plural, t } from '../../foundation/text/text.js';
import { Moment } from '../moment.js';

type SettingsDocument = Static<typeof SettingsDocumentSchema>;
type History = Static<typeof SettingsHistorySchema>;
type Version = History['versions'][number];

/** The document as text; what scrolls can be reached with the keyboard. */
function DocumentText({ settings, label }: { readonly settings: Version['settings']; readonly label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard
    <section class="document" aria-label={label} tabIndex={0}>
      <code>{JSON.stringify(settings, null, 2)}</code>
    </section>
  );
}

function Restore({
  version,
  onClose,
  onDone,
}: {
  readonly version: Version;
  readonly onClose: () => void;
  readonly onDone: () => void;
}) {
  const action = useAction(async () => {
    await api.post('sync/restore', { version: version.version });
    announce(t('settings.restored', { version: version.version }));
    onDone();
  });
  return (
    <Confirm
      title={t('settings.restoreTitle', { version: version.version })}
      action={action}
      submit={t('settings.restore')}
      kind="primary"
      onClose={onClose}
    >
      <p>{t('settings.restoreQuestion')}</p>
      <DocumentText settings={version.settings} label={t('settings.versionName', { version: version.version })} />
    </Confirm>
  );
}

type Act = { readonly kind: 'show' | 'restore'; readonly version: Version };

const listColumns = (current: number, choose: (act: Act) => void): readonly Column<Version>[] => [
  {
    key: 'version',
    label: t('settings.version'),
    cell: ({ version }) => t('settings.versionName', { version }),
    heads: true,
  },
  { key: 'when', label: t('usage.when'), cell: ({ created_at }) => <Moment at={created_at} /> },
  { key: 'action', label: t('settings.made'), cell: ({ action }) => t(`settings.actions.${action}`) },
  { key: 'device', label: t('settings.device'), cell: ({ device }) => device ?? '–' },
  {
    key: 'count',
    label: t('settings.count'),
    cell: ({ settings }) => formatCount(Object.keys(settings).length),
    numeric: true,
  },
  {
    key: 'acts',
    label: t('common.actions'),
    acts: true,
    cell: (version) => (
      <>
        <Button
          label={`${t('settings.look')}: ${t('settings.versionName', { version: version.version })}`}
          onClick={() => choose({ kind: 'show', version })}
        >
          {t('settings.look')}
        </Button>
        {version.version !== current && (
          <Button
            label={`${t('settings.restore')}: ${t('settings.versionName', { version: version.version })}`}
            onClick={() => choose({ kind: 'restore', version })}
          >
            {t('settings.restore')}
          </Button>
        )}
      </>
    ),
  },
];

/** Shows the settings that are kept in sync, their history, and brings back a version of it. */
export function SettingsView() {
  const [act, setAct] = useState<Act | undefined>();
  const state = useLoad(async (signal) => {
    const [document, { versions }] = await Promise.all([
      api.get<SettingsDocument>('users/me/settings', {}, signal),
      api.get<History>('sync/history', {}, signal),
    ]);
    return { document, versions };
  }, []);
  const close = () => setAct(undefined);
  return (
    <View
      title={t('settings.title')}
      lead={t('settings.lead')}
      actions={
        <Button busy={state.loading} onClick={state.reload}>
          {t('common.refresh')}
        </Button>
      }
    >
      <Loads from={state}>
        {({ document, versions }) =>
          document.version === 0 ? (
            <Card>
              <Empty title={t('settings.none')}>
                <p>{t('settings.noneLead')}</p>
              </Empty>
            </Card>
          ) : (
            <>
              <Card
                title={plural('settings.document', Object.keys(document.settings).length)}
                lead={t('settings.state', {
                  version: document.version,
                  time: document.last_synced_at === null ? '–' : formatDateTime(document.last_synced_at),
                })}
              >
                <DocumentText settings={document.settings} label={t('settings.title')} />
              </Card>
              <Card title={t('settings.history')} lead={t('settings.historyLead')}>
                <Table
                  caption={t('settings.history')}
                  captionHidden
                  columns={listColumns(document.version, setAct)}
                  rows={versions}
                  rowKey={({ version }) => String(version)}
                />
              </Card>
            </>
          )
        }
      </Loads>
      {act?.kind === 'show' && (
        <Dialog title={t('settings.versionName', { version: act.version.version })} onClose={close}>
          <DocumentText
            settings={act.version.settings}
            label={t('settings.versionName', { version: act.version.version })}
          />
        </Dialog>
      )}
      {act?.kind === 'restore' && <Restore version={act.version} onClose={close} onDone={state.reload} />}
    </View>
  );
}
