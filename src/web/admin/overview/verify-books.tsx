import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { VerifiedLedgerSchema } from '../../../features/admin/reports/ledger-schemas.js';
import { readJson } from '../../foundation/api/send.js';
import { Button } from '../../foundation/components/button.js';
import { Badge, Failure, Notice } from '../../foundation/components/notice.js';
import { Table } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatAgo, formatCount, formatTime } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { findText, t } from '../../foundation/text/text.js';
import { api } from '../session.js';
import type { Overview } from './overview.js';
import { VerifyProgress } from './verify-progress.js';

type Verified = Static<typeof VerifiedLedgerSchema>;
interface Outcome {
  readonly verified: Verified;
  readonly at: number;
}

/** The books of a large server take longer to prove than other requests are waited for, in milliseconds. */
const PATIENCE_MS = 15 * 60 * 1_000;

async function verify(): Promise<Outcome> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const verified = await readJson<Verified>(await api.send('admin/ledger/verify', { signal, endless: true }));
  return { verified, at: Date.now() };
}

function Checks({ verified }: { readonly verified: Verified }) {
  return (
    <details>
      <summary>{t('admin.books.details')}</summary>
      <Table
        caption={t('admin.books.checks')}
        captionHidden
        rows={verified.checks}
        rowKey={({ name }) => name}
        columns={[
          {
            key: 'name',
            label: t('admin.books.check'),
            cell: ({ name }) => findText(`admin.books.names.${name}`) ?? name,
            heads: true,
          },
          {
            key: 'checked',
            label: t('admin.books.checked'),
            cell: ({ checked }) => formatCount(checked),
            numeric: true,
          },
          {
            key: 'ok',
            label: t('admin.books.outcome'),
            cell: ({ ok, discrepancies }) =>
              ok ? (
                <Badge tone="good">{t('admin.books.ok')}</Badge>
              ) : (
                <Badge tone="bad">{formatCount(discrepancies.length)}</Badge>
              ),
          },
        ]}
      />
    </details>
  );
}

/** Proves the books when somebody wants it, and shows what came of it. */
export function VerifyBooks({ last }: { readonly last?: Overview['ledger'] | undefined }) {
  const [outcome, setOutcome] = useState<Outcome | undefined>();
  const action = useAction(async () => setOutcome(await verify()));
  return (
    <Card
      title={t('admin.books.health')}
      lead={t('admin.books.lead')}
      actions={
        <Button busy={action.busy} onClick={() => void action.run()}>
          {t('admin.books.verify')}
        </Button>
      }
    >
      <div class="stack" aria-live="polite">
        {action.busy && <VerifyProgress lastMs={last?.milliseconds} />}
        <Failure failure={action.failure} />
        {!action.busy && outcome === undefined && last != null && (
          <p>
            {t(last.discrepancies === 0 ? 'admin.books.last' : 'admin.books.lastWrong', {
              time: formatAgo(last.checked_at),
            })}
          </p>
        )}
        {!action.busy && outcome !== undefined && (
          <>
            <Notice tone={outcome.verified.ok ? 'good' : 'bad'} urgent={!outcome.verified.ok}>
              <p>
                {t(outcome.verified.ok ? 'admin.books.allOk' : 'admin.books.wrong', { time: formatTime(outcome.at) })}
              </p>
            </Notice>
            <Checks verified={outcome.verified} />
          </>
        )}
      </div>
    </Card>
  );
}
