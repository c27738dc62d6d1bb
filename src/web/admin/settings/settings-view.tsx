import { Loads } from '../../foundation/components/loads.js';
import { Badge } from '../../foundation/components/notice.js';
import { Table } from '../../foundation/components/table.js';
import { Card, View } from '../../foundation/components/view.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { findText, language, t } from '../../foundation/text/text.js';
import { type Configuration, loadConfiguration, type Setting } from './configuration.js';
import { loadDescriptions } from './descriptions.js';

function Capabilities({ capabilities }: Pick<Configuration, 'capabilities'>) {
  return (
    <Card title={t('admin.settings.capabilities')} lead={t('admin.settings.capabilitiesLead')}>
      <Table
        caption={t('admin.settings.capabilities')}
        captionHidden
        rows={[...capabilities].sort((a, b) => Number(b.on) - Number(a.on))}
        rowKey={({ name }) => name}
        columns={[
          {
            key: 'name',
            label: t('admin.settings.capability'),
            cell: ({ name }) => findText(`admin.settings.names.${name}`) ?? name,
            heads: true,
          },
          {
            key: 'on',
            label: t('admin.invitations.standing'),
            cell: ({ on }) =>
              on ? <Badge tone="good">{t('admin.settings.on')}</Badge> : <Badge>{t('admin.settings.off')}</Badge>,
          },
          {
            key: 'why',
            label: t('admin.settings.why'),
            cell: ({ on, missing }) => (on ? '–' : t('admin.settings.missing', { variables: missing.join(', ') })),
          },
        ]}
      />
    </Card>
  );
}

function Value({ setting: { value, hidden, set } }: { readonly setting: Setting }) {
  if (hidden) return <Badge>{t('admin.settings.hidden')}</Badge>;
  if (value === null) return <span class="quiet">{t('admin.settings.unset')}</span>;
  return (
    <>
      <code>{value}</code> {!set && <span class="quiet">({t('admin.settings.default')})</span>}
    </>
  );
}

/** Shows what the server is set up to do, without secrets, and which variables are missing for the rest. */
export function SettingsView() {
  const loaded = useLoad(
    async (signal) => {
      const [read, described] = await Promise.all([loadConfiguration(signal), loadDescriptions(language.value)]);
      return { ...read, described };
    },
    [language.value],
  );
  return (
    <View title={t('admin.nav.settings')} lead={t('admin.settings.lead')}>
      <Loads from={loaded}>
        {({ capabilities, sections, described }) => (
          <>
            <Capabilities capabilities={capabilities} />
            {sections.map(({ name, settings }) => (
              <details key={name} class="card section">
                <summary>{described.sections[name] ?? name}</summary>
                <Table
                  caption={described.sections[name] ?? name}
                  captionHidden
                  rows={settings}
                  rowKey={(setting) => setting.name}
                  columns={[
                    {
                      key: 'name',
                      label: t('admin.settings.variable'),
                      heads: true,
                      cell: (setting) => (
                        <>
                          <code>{setting.name}</code>
                          <div class="quiet">{described.variables[setting.name] ?? setting.description}</div>
                        </>
                      ),
                    },
                    { key: 'value', label: t('admin.settings.value'), cell: (setting) => <Value setting={setting} /> },
                  ]}
                />
              </details>
            ))}
          </>
        )}
      </Loads>
    </View>
  );
}
