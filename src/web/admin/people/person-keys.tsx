import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { AccountApiKeysSchema } from '../../../features/admin/users/account-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { keyColumns } from '../../foundation/credentials/key-columns.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { t } from '../../foundation/text/text.js';
import { ConfirmAct } from '../acts/confirm-act.js';
import { api, mayAct } from '../session.js';

type Keys = Static<typeof AccountApiKeysSchema>;
type Key = Keys['api_keys'][number];

function toColumns(onEnd: (key: Key) => void): readonly Column<Key>[] {
  const acts: Column<Key> = {
    key: 'acts',
    label: t('admin.list.actions'),
    acts: true,
    cell: (key) => (
      <Button label={t('admin.people.endKeyLabel', { name: key.name })} onClick={() => onEnd(key)}>
        {t('admin.people.endKey')}
      </Button>
    ),
  };
  return [...keyColumns<Key>(), ...(mayAct.value ? [acts] : [])];
}

/** Shows the API keys of an account, without their secrets, and ends single ones. */
export function PersonKeys({
  id,
  round,
  onEnded,
}: {
  readonly id: string;
  readonly round: number;
  readonly onEnded: () => void;
}) {
  const loaded = useLoad((signal) => api.get<Keys>(`admin/users/${id}/api-keys`, {}, signal), [id, round]);
  const [ending, setEnding] = useState<Key | undefined>();
  return (
    <Card title={t('admin.people.keys')}>
      <LoadedTable
        from={loaded}
        toRows={({ api_keys }) => api_keys}
        none={<Empty title={t('admin.people.noKeys')} />}
        caption={t('admin.people.keys')}
        columns={toColumns(setEnding)}
        rowKey={(key) => key.id}
      />
      {ending !== undefined && (
        <ConfirmAct
          title={t('admin.people.endKeyTitle', { name: ending.name })}
          submit={t('admin.people.endKey')}
          act={async () => {
            await api.delete(`admin/users/${id}/api-keys/${ending.id}`);
            return t('admin.people.said.key', { name: ending.name });
          }}
          onDone={onEnded}
          onClose={() => setEnding(undefined)}
        >
          <p>{t('admin.people.endKeyLead')}</p>
        </ConfirmAct>
      )}
    </Card>
  );
}
