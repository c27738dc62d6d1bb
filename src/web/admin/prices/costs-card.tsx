import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { ModelCostsSchema } from '../../../features/admin/budget/model-cost-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Confirm, FormDialog } from '../../foundation/components/dialog.js';
import { Field } from '../../foundation/components/field.js';
import { Loads } from '../../foundation/components/loads.js';
import { Table } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { formatAgo, formatCount } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { t } from '../../foundation/text/text.js';
import { TokensField } from '../list/tokens-field.js';
import { parseTokens } from '../parse-tokens.js';
import { api, mayAct } from '../session.js';
import { RowActions } from './row-actions.js';

type Costs = Static<typeof ModelCostsSchema>;
type Cost = Costs['model_costs'][number];
const ALL_OTHERS = '*';

const nameOf = (model: string) => (model === ALL_OTHERS ? t('admin.prices.allOthers') : model);

function CostDialog({
  cost,
  onDone,
  onClose,
}: {
  cost: Cost | undefined;
  onDone: (costs: Costs) => void;
  onClose: () => void;
}) {
  const [model, setModel] = useState(cost?.model ?? '');
  const [typed, setTyped] = useState(cost === undefined ? '' : String(cost.cost));
  const [checked, setChecked] = useState(false);
  const tokens = parseTokens(typed);
  const action = useAction(async () => {
    onDone(await api.put<Costs>('admin/model-costs', { model_costs: [{ model: model.trim(), cost: tokens }] }));
    announce(t('admin.prices.said', { model: nameOf(model.trim()) }));
    onClose();
  });
  return (
    <FormDialog
      title={t(cost === undefined ? 'admin.prices.add' : 'admin.prices.change')}
      onClose={onClose}
      action={action}
      submit={t('admin.save')}
      check={() => {
        setChecked(true);
        return tokens !== undefined && model.trim() !== '';
      }}
    >
      <Field
        label={t('admin.usage.by.model')}
        hint={t('admin.prices.modelHint')}
        value={model}
        onValue={setModel}
        readOnly={cost !== undefined}
        error={checked && model.trim() === '' ? t('admin.missing') : undefined}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
      />
      <TokensField
        label={t('admin.prices.cost')}
        value={typed}
        onValue={setTyped}
        isValid={tokens !== undefined}
        checked={checked}
      />
      {tokens !== undefined && <p class="quiet">{t('admin.prices.example', { prompts: 100, tokens: tokens * 100 })}</p>}
    </FormDialog>
  );
}

function RemoveCost({ cost, onDone, onClose }: { cost: Cost; onDone: (costs: Costs) => void; onClose: () => void }) {
  const action = useAction(async () => {
    onDone(await api.put<Costs>('admin/model-costs', { model_costs: [{ model: cost.model, cost: null }] }));
    announce(t('admin.prices.saidRemove', { model: nameOf(cost.model) }));
  });
  return (
    <Confirm title={t('admin.prices.removeTitle')} action={action} submit={t('admin.prices.remove')} onClose={onClose}>
      <p>{t('admin.prices.removeLead', { model: nameOf(cost.model) })}</p>
    </Confirm>
  );
}

/** Shows what a prompt costs with each model. */
export function CostsCard() {
  const loaded = useLoad((signal) => api.get<Costs>('admin/model-costs', {}, signal), []);
  const [changing, setChanging] = useState<Cost | 'new' | undefined>();
  const [removing, setRemoving] = useState<Cost | undefined>();
  return (
    <Card
      title={t('admin.prices.costs')}
      lead={t('admin.prices.costsLead')}
      actions={mayAct.value && <Button onClick={() => setChanging('new')}>{t('admin.prices.add')}</Button>}
    >
      <Loads from={loaded}>
        {({ model_costs: costs }) => (
          <Table
            caption={t('admin.prices.costs')}
            captionHidden
            rows={costs}
            rowKey={({ model }) => model}
            columns={[
              { key: 'model', label: t('admin.usage.by.model'), cell: ({ model }) => nameOf(model), heads: true },
              { key: 'cost', label: t('admin.prices.cost'), cell: ({ cost }) => formatCount(cost), numeric: true },
              { key: 'at', label: t('admin.prices.changed'), cell: (cost) => formatAgo(cost.updated_at) },
              ...(mayAct.value
                ? [
                    {
                      key: 'acts',
                      label: t('admin.list.actions'),
                      acts: true,
                      cell: (cost: Cost) => (
                        <RowActions
                          name={nameOf(cost.model)}
                          onChange={() => setChanging(cost)}
                          onRemove={() => setRemoving(cost)}
                        />
                      ),
                    },
                  ]
                : []),
            ]}
          />
        )}
      </Loads>
      {changing !== undefined && (
        <CostDialog
          cost={changing === 'new' ? undefined : changing}
          onDone={loaded.change}
          onClose={() => setChanging(undefined)}
        />
      )}
      {removing !== undefined && (
        <RemoveCost cost={removing} onDone={loaded.change} onClose={() => setRemoving(undefined)} />
      )}
    </Card>
  );
}
