import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Confirm } from '../../foundation/components/dialog.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Badge, Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { formatAgo } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { findLocale, t } from '../../foundation/text/text.js';
import { api, mayAct } from '../session.js';
import { OffNotice } from '../settings/off-notice.js';
import { RowActions } from './row-actions.js';
import type { Weight, Weights } from './weight.js';
import { WeightDialog } from './weight-dialog.js';

const write = (weight: number) => new Intl.NumberFormat(findLocale(), { maximumFractionDigits: 4 }).format(weight);

function RemoveWeight({
  weight,
  onDone,
  onClose,
}: {
  weight: Weight;
  onDone: (weights: Weights) => void;
  onClose: () => void;
}) {
  const action = useAction(async () => {
    const body = { model_weights: [{ model: weight.model, input_weight: null }] };
    onDone(await api.put<Weights>('admin/model-weights', body));
    announce(t('admin.prices.saidRemove', { model: weight.model }));
  });
  return (
    <Confirm title={t('admin.weights.removeTitle')} action={action} submit={t('admin.prices.remove')} onClose={onClose}>
      <p>{t('admin.weights.removeLead', { model: weight.model })}</p>
    </Confirm>
  );
}

function toColumns(onChange: (weight: Weight) => void, onRemove: (weight: Weight) => void): readonly Column<Weight>[] {
  const acts: Column<Weight> = {
    key: 'acts',
    label: t('admin.list.actions'),
    acts: true,
    cell: (weight) => (
      <RowActions name={weight.model} onChange={() => onChange(weight)} onRemove={() => onRemove(weight)} />
    ),
  };
  return [
    {
      key: 'model',
      label: t('admin.usage.by.model'),
      heads: true,
      cell: ({ model, comment }) => (
        <>
          {model}
          {comment !== null && <div class="quiet">{comment}</div>}
        </>
      ),
    },
    { key: 'input', label: t('admin.weights.input'), cell: (weight) => write(weight.input_weight), numeric: true },
    { key: 'output', label: t('admin.weights.output'), cell: (weight) => write(weight.output_weight), numeric: true },
    {
      key: 'source',
      label: t('admin.weights.source'),
      cell: ({ source }) => <Badge>{t(`admin.weights.sources.${source}`)}</Badge>,
    },
    { key: 'at', label: t('admin.prices.changed'), cell: (weight) => formatAgo(weight.updated_at) },
    ...(mayAct.value ? [acts] : []),
  ];
}

/** Shows what a token of each model debits in chat. */
export function WeightsCard() {
  const loaded = useLoad((signal) => api.get<Weights>('admin/model-weights', {}, signal), []);
  const [changing, setChanging] = useState<Weight | 'new' | undefined>();
  const [removing, setRemoving] = useState<Weight | undefined>();
  return (
    <Card
      title={t('admin.weights.title')}
      lead={t('admin.weights.lead')}
      actions={mayAct.value && <Button onClick={() => setChanging('new')}>{t('admin.weights.add')}</Button>}
    >
      <div class="stack">
        <OffNotice name="chat" />
        <LoadedTable
          from={loaded}
          toRows={({ model_weights: weights }) => weights}
          none={<Empty title={t('admin.weights.none')} />}
          caption={t('admin.weights.title')}
          columns={toColumns(setChanging, setRemoving)}
          rowKey={({ model }) => model}
        />
      </div>
      {changing !== undefined && (
        <WeightDialog
          weight={changing === 'new' ? undefined : changing}
          onDone={loaded.change}
          onClose={() => setChanging(undefined)}
        />
      )}
      {removing !== undefined && (
        <RemoveWeight weight={removing} onDone={loaded.change} onClose={() => setRemoving(undefined)} />
      )}
    </Card>
  );
}
