import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { ApiKeySchema, ApiKeysSchema } from '../../../auth/api-keys/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Confirm, Dialog } from '../../foundation/components/dialog.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { keyColumns } from '../../foundation/credentials/key-columns.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { NewKey } from './new-key.js';

type ApiKey = Static<typeof ApiKeySchema>;

function DeleteKey({
  apiKey,
  onClose,
  onDone,
}: {
  readonly apiKey: ApiKey;
  readonly onClose: () => void;
  readonly onDone: () => void;
}) {
  const action = useAction(async () => {
    await api.delete(`users/me/api-keys/${apiKey.id}`);
    announce(t('keys.deleted', { name: apiKey.name }));
    onDone();
  });
  return (
    <Confirm
      title={t('keys.deleteTitle', { name: apiKey.name })}
      action={action}
      submit={t('keys.delete')}
      onClose={onClose}
    >
      <p>{t('keys.deleteQuestion')}</p>
    </Confirm>
  );
}

const listColumns = (remove: (key: ApiKey) => void): readonly Column<ApiKey>[] => [
  ...keyColumns<ApiKey>(),
  {
    key: 'acts',
    label: t('common.actions'),
    acts: true,
    cell: (key) => (
      <Button kind="danger" label={`${t('keys.delete')}: ${key.name}`} onClick={() => remove(key)}>
        {t('keys.delete')}
      </Button>
    ),
  },
];

/** Shows the API keys of the person, makes new ones and deletes them. */
export function KeysView() {
  const keys = useLoad((signal) => api.get<Static<typeof ApiKeysSchema>>('users/me/api-keys', {}, signal), []);
  const [removing, setRemoving] = useState<ApiKey | undefined>();
  const [making, setMaking] = useState(false);
  return (
    <View
      title={t('keys.title')}
      lead={t('keys.lead')}
      actions={
        <Button kind="primary" onClick={() => setMaking(true)}>
          {t('keys.create')}
        </Button>
      }
    >
      <Card>
        <LoadedTable
          from={keys}
          toRows={({ api_keys }) => api_keys}
          none={
            <Empty title={t('keys.none')}>
              <p>{t('keys.noneLead')}</p>
            </Empty>
          }
          caption={t('keys.title')}
          columns={listColumns(setRemoving)}
          rowKey={({ id }) => id}
        />
      </Card>
      {making && (
        <Dialog title={t('keys.create')} onClose={() => setMaking(false)}>
          <NewKey onMade={keys.reload} onClose={() => setMaking(false)} />
        </Dialog>
      )}
      {removing !== undefined && (
        <DeleteKey apiKey={removing} onClose={() => setRemoving(undefined)} onDone={keys.reload} />
      )}
    </View>
  );
}
