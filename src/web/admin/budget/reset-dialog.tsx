import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { ResetPreviewSchema, ResetSchema } from '../../../features/admin/budget/period-schemas.js';
import { readJson } from '../../foundation/api/send.js';
import { Button } from '../../foundation/components/button.js';
import { ConfirmByTyping, Dialog } from '../../foundation/components/dialog.js';
import { Facts } from '../../foundation/components/facts.js';
import { Form } from '../../foundation/components/form.js';
import { Notice } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { formatCount, formatDate } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { TokensField } from '../list/tokens-field.js';
import { parseTokens } from '../parse-tokens.js';
import { api } from '../session.js';

type Preview = Static<typeof ResetPreviewSchema>;
type Reset = Static<typeof ResetSchema>;
/** Bringing many devices into the next period takes longer than other requests, in milliseconds. */
const PATIENCE_MS = 15 * 60 * 1_000;
const DEFAULT_TOKENS = '50';

async function reset({ default_tokens, already_reset }: Preview): Promise<Reset> {
  const body = { default_tokens, force: already_reset };
  const signal = AbortSignal.timeout(PATIENCE_MS);
  return readJson<Reset>(await api.send('admin/reset-monthly', { method: 'POST', body, signal, endless: true }));
}

function PreviewFacts({ preview }: { readonly preview: Preview }) {
  const count = (name: 'devices' | 'raised' | 'lowered' | 'used' | 'unused' | 'reserved') =>
    [t(`admin.budget.preview.${name}`), formatCount(preview[name])] as const;
  return (
    <>
      <Facts
        facts={[
          [
            t('admin.budget.preview.closes'),
            t('admin.budget.preview.since', { number: preview.period, date: formatDate(preview.started_at) }),
          ],
          count('devices'),
          count('used'),
          count('unused'),
          count('reserved'),
          count('raised'),
          count('lowered'),
          [
            t('admin.pool.allocated'),
            `${formatCount(preview.allocated_before)} → ${formatCount(preview.allocated_after)}`,
          ],
        ]}
      />
      {preview.already_reset && (
        <Notice tone="warning">
          <p>{t('admin.budget.again')}</p>
        </Notice>
      )}
    </>
  );
}

/** Ends the budget period: shows what that changes, and does it when a word was typed. */
export function ResetDialog({ onDone, onClose }: { readonly onDone: () => void; readonly onClose: () => void }) {
  const [typed, setTyped] = useState(DEFAULT_TOKENS);
  const [checked, setChecked] = useState(false);
  const [preview, setPreview] = useState<Preview | undefined>();
  const tokens = parseTokens(typed);
  const look = useAction(async () => {
    setPreview(await api.get<Preview>('admin/reset-monthly/preview', { default_tokens: tokens }));
  });
  const apply = useAction(async () => {
    if (preview === undefined) return;
    const { devices, period } = await reset(preview);
    announce(t('admin.budget.saidReset', { devices, period }));
    onDone();
  });
  if (preview?.fits === true) {
    return (
      <ConfirmByTyping
        title={t('admin.budget.resetTitle')}
        word={t('admin.budget.resetWord')}
        action={apply}
        submit={t('admin.budget.reset')}
        onClose={onClose}
      >
        <PreviewFacts preview={preview} />
      </ConfirmByTyping>
    );
  }
  return (
    <Dialog title={t('admin.budget.resetTitle')} onClose={onClose}>
      {preview?.fits === false && (
        <Notice tone="bad" urgent>
          <p>
            {t('admin.budget.tooMuch', {
              needed: formatCount(preview.allocated_after),
              total: formatCount(preview.pool_total ?? 0),
            })}
          </p>
        </Notice>
      )}
      <Form
        action={look}
        submit={t('admin.bulk.preview')}
        check={() => {
          setChecked(true);
          return tokens !== undefined;
        }}
        more={<Button onClick={onClose}>{t('common.cancel')}</Button>}
      >
        <p>{t('admin.budget.resetLead')}</p>
        <TokensField
          label={t('admin.budget.each')}
          value={typed}
          onValue={setTyped}
          isValid={tokens !== undefined}
          checked={checked}
        />
      </Form>
    </Dialog>
  );
}
