import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { BudgetPreviewSchema } from '../../../features/admin/budget/budget-schemas.js';
import { Checkbox } from '../../foundation/components/choice.js';
import { ConfirmByTyping, FormDialog } from '../../foundation/components/dialog.js';
import { Notice } from '../../foundation/components/notice.js';
import { Table } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { formatCount } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { TokensField } from '../list/tokens-field.js';
import type { Pool } from '../overview/overview.js';
import { parseTokens } from '../parse-tokens.js';
import { api } from '../session.js';

type Preview = Static<typeof BudgetPreviewSchema>;
const FIELDS = ['total', 'allocated', 'unallocated'] as const;

const write = (tokens: number | null) => (tokens === null ? t('admin.pool.unlimited') : formatCount(tokens));

function PreviewTable({ preview }: { readonly preview: Preview }) {
  return (
    <>
      <Table
        caption={t('admin.budget.wouldBe')}
        rows={FIELDS}
        rowKey={(field) => field}
        columns={[
          { key: 'field', label: t('admin.overview.measure'), cell: (field) => t(`admin.pool.${field}`), heads: true },
          {
            key: 'before',
            label: t('admin.moves.before'),
            cell: (field) => write(preview.before[field]),
            numeric: true,
          },
          {
            key: 'after',
            label: t('admin.moves.after'),
            cell: (field) => <b>{write(preview.after[field])}</b>,
            numeric: true,
          },
        ]}
      />
      {preview.over_allocated > 0 && (
        <Notice tone="warning">
          <p>{t('admin.budget.over', { tokens: formatCount(preview.over_allocated) })}</p>
        </Notice>
      )}
    </>
  );
}

/** Changes the size of a pool: shows what that changes, and does it when a word was typed. */
export function BudgetDialog({
  pool,
  onDone,
  onClose,
}: {
  readonly pool: Pool;
  readonly onDone: () => void;
  readonly onClose: () => void;
}) {
  const [typed, setTyped] = useState(pool.total === null ? '' : String(pool.total));
  const [unlimited, setUnlimited] = useState(pool.total === null);
  const [checked, setChecked] = useState(false);
  const [preview, setPreview] = useState<Preview | undefined>();
  const tokens = parseTokens(typed);
  const kind = pool.subject_kind;
  const look = useAction(async () => {
    const query = { subject_kind: kind, total: unlimited ? undefined : tokens };
    setPreview(await api.get<Preview>('admin/budget/preview', query));
  });
  const apply = useAction(async () => {
    await api.put('admin/budget', { subject_kind: kind, total: preview?.after.total ?? null });
    announce(t('admin.budget.said', { pool: t(`admin.pool.kinds.${kind}`) }));
    onDone();
  });
  const title = t('admin.budget.title', { pool: t(`admin.pool.kinds.${kind}`) });
  if (preview !== undefined) {
    return (
      <ConfirmByTyping
        title={title}
        word={t('admin.budget.word')}
        action={apply}
        submit={t('admin.budget.change')}
        onClose={onClose}
      >
        <PreviewTable preview={preview} />
      </ConfirmByTyping>
    );
  }
  return (
    <FormDialog
      title={title}
      onClose={onClose}
      action={look}
      submit={t('admin.bulk.preview')}
      check={() => {
        setChecked(true);
        return unlimited || tokens !== undefined;
      }}
    >
      <Checkbox
        label={t('admin.pool.unlimited')}
        hint={t('admin.budget.unlimitedHint')}
        checked={unlimited}
        onChecked={setUnlimited}
      />
      {!unlimited && (
        <TokensField
          label={t('admin.pool.total')}
          value={typed}
          onValue={setTyped}
          isValid={tokens !== undefined}
          checked={checked}
        />
      )}
    </FormDialog>
  );
}
