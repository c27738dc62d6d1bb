import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { PlansSchema } from '../../../features/admin/plans/plan-schemas.js';
import { FormDialog } from '../../foundation/components/dialog.js';
import { Field } from '../../foundation/components/field.js';
import { Loads } from '../../foundation/components/loads.js';
import { Table } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatAgo, formatCount } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { t } from '../../foundation/text/text.js';
import { TokensField } from '../list/tokens-field.js';
import { parseTokens } from '../parse-tokens.js';
import { RowActions } from '../prices/row-actions.js';
import { api, mayAct } from '../session.js';
import { OffNotice } from '../settings/off-notice.js';

type Plans = Static<typeof PlansSchema>;
type Plan = Plans['plans'][number];

function PlanDialog({ plan, onDone, onClose }: { plan: Plan; onDone: (plans: Plans) => void; onClose: () => void }) {
  const [typed, setTyped] = useState(String(plan.monthly_tokens));
  const [limit, setLimit] = useState(plan.device_limit === null ? '' : String(plan.device_limit));
  const [checked, setChecked] = useState(false);
  const [tokens, devices] = [parseTokens(typed), parseTokens(limit, 1)];
  const isLimit = limit.trim() === '' || devices !== undefined;
  const name = t(`admin.plans.tiers.${plan.tier}`);
  const action = useAction(async () => {
    const body = { monthly_tokens: tokens, device_limit: devices ?? null };
    onDone(await api.put<Plans>(`admin/plans/${plan.tier}`, body));
    announce(t('admin.plans.said', { plan: name }));
    onClose();
  });
  return (
    <FormDialog
      title={t('admin.plans.change', { plan: name })}
      onClose={onClose}
      action={action}
      submit={t('admin.save')}
      check={() => {
        setChecked(true);
        return tokens !== undefined && isLimit;
      }}
    >
      <TokensField
        label={t('admin.plans.monthly')}
        hint={t('admin.plans.monthlyHint')}
        value={typed}
        onValue={setTyped}
        isValid={tokens !== undefined}
        checked={checked}
      />
      <Field
        label={t('admin.plans.devices')}
        hint={t('admin.plans.devicesHint')}
        value={limit}
        onValue={setLimit}
        error={checked && !isLimit ? t('admin.plans.devicesWrong') : undefined}
        inputmode="numeric"
        autocomplete="off"
      />
    </FormDialog>
  );
}

/** Shows what each tier is worth and how many have it, and changes it. */
export function PlansView() {
  const loaded = useLoad((signal) => api.get<Plans>('admin/plans', {}, signal), []);
  const [changing, setChanging] = useState<Plan | undefined>();
  return (
    <View title={t('admin.nav.plans')} lead={t('admin.plans.lead')}>
      <OffNotice name="payments" />
      <Card>
        <Loads from={loaded}>
          {({ plans }) => (
            <Table
              caption={t('admin.nav.plans')}
              captionHidden
              rows={plans}
              rowKey={({ tier }) => tier}
              columns={[
                {
                  key: 'tier',
                  label: t('admin.people.plan'),
                  cell: ({ tier }) => t(`admin.plans.tiers.${tier}`),
                  heads: true,
                },
                {
                  key: 'monthly',
                  label: t('admin.plans.monthly'),
                  cell: (plan) => formatCount(plan.monthly_tokens),
                  numeric: true,
                },
                {
                  key: 'devices',
                  label: t('admin.plans.devices'),
                  cell: (plan) => (plan.device_limit === null ? t('admin.plans.any') : formatCount(plan.device_limit)),
                  numeric: true,
                },
                {
                  key: 'accounts',
                  label: t('admin.plans.accounts'),
                  cell: ({ accounts }) => formatCount(accounts),
                  numeric: true,
                },
                { key: 'at', label: t('admin.prices.changed'), cell: (plan) => formatAgo(plan.updated_at) },
                ...(mayAct.value
                  ? [
                      {
                        key: 'acts',
                        label: t('admin.list.actions'),
                        acts: true,
                        cell: (plan: Plan) => (
                          <RowActions name={t(`admin.plans.tiers.${plan.tier}`)} onChange={() => setChanging(plan)} />
                        ),
                      },
                    ]
                  : []),
              ]}
            />
          )}
        </Loads>
      </Card>
      {changing !== undefined && (
        <PlanDialog plan={changing} onDone={loaded.change} onClose={() => setChanging(undefined)} />
      )}
    </View>
  );
}
