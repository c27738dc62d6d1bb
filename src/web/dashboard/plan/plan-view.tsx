import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { PlansSchema } from '../../../features/subscriptions/schemas.js';
import { ApiFailure, readField } from '../../foundation/api/failure.js';
import { Button } from '../../foundation/components/button.js';
import { Confirm } from '../../foundation/components/dialog.js';
import { Loads } from '../../foundation/components/loads.js';
import { Failure, Notice } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { View } from '../../foundation/components/view.js';
import { formatDate } from '../../foundation/format.js';
import { type Action, useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import type { PaidTier, Plan, Subscription } from './offer.js';
import { PaymentsCard } from './payments-card.js';
import { PlanCard } from './plan-card.js';
import { Standing } from './standing.js';

interface Offer {
  readonly subscription: Subscription;
  readonly plans: readonly Plan[];
}

const RUNNING = ['active', 'trialing', 'past_due', 'unpaid', 'paused', 'incomplete'];
const isRunning = ({ status }: Subscription) => RUNNING.includes(status);

/** Leaves for the page on which the bank confirms a payment, where a change asks for that. */
function followConfirmation(error: unknown): never {
  const url = error instanceof ApiFailure ? readField(error.body, 'confirm_url') : undefined;
  if (typeof url === 'string') location.assign(url);
  throw error;
}

/** Begins a subscription at Stripe's page, or changes the one that runs. */
function useChoice(change: (subscription: Subscription) => void): Action<[current: Subscription, tier: PaidTier]> {
  return useAction(async (current, tier) => {
    if (!isRunning(current)) {
      const { checkout_url } = await api.post<{ readonly checkout_url: string }>('subscriptions', { tier });
      location.assign(checkout_url);
      return;
    }
    change(await api.put<Subscription>('subscriptions', { tier }).catch(followConfirmation));
    announce(t('plan.changed', { plan: t(`plan.tiers.${tier}`) }));
  });
}

function ChangeDialog({
  tier,
  choice,
  current,
  onClose,
}: {
  readonly tier: PaidTier;
  readonly choice: ReturnType<typeof useChoice>;
  readonly current: Subscription;
  readonly onClose: () => void;
}) {
  const action = { ...choice, run: () => choice.run(current, tier) };
  return (
    <Confirm
      title={t('plan.changeTitle', { plan: t(`plan.tiers.${tier}`) })}
      action={action}
      submit={t('plan.change')}
      kind="primary"
      onClose={onClose}
    >
      <p>{t('plan.changeQuestion')}</p>
    </Confirm>
  );
}

function CancelDialog({
  onClose,
  change,
  end,
}: {
  readonly onClose: () => void;
  readonly change: (subscription: Subscription) => void;
  readonly end: string | null;
}) {
  const action = useAction(async () => {
    change(await api.delete<Subscription>('subscriptions'));
    announce(t('plan.cancelled'));
  });
  const question = end === null ? t('plan.cancelQuestion') : t('plan.cancelQuestionUntil', { date: formatDate(end) });
  return (
    <Confirm title={t('plan.cancelTitle')} action={action} submit={t('plan.cancel')} onClose={onClose}>
      <p>{question}</p>
    </Confirm>
  );
}

type Act = { readonly kind: 'cancel' } | { readonly kind: 'change'; readonly tier: PaidTier };

function Content({ offer, change }: { readonly offer: Offer; readonly change: (subscription: Subscription) => void }) {
  const { subscription, plans } = offer;
  const [act, setAct] = useState<Act | undefined>();
  const choice = useChoice(change);
  const portal = useAction(async () => {
    const { portal_url } = await api.post<{ readonly portal_url: string }>('subscriptions/portal');
    location.assign(portal_url);
  });
  const close = () => {
    choice.clear();
    setAct(undefined);
  };
  const choose = (tier: PaidTier) =>
    isRunning(subscription) ? setAct({ kind: 'change', tier }) : void choice.run(subscription, tier);
  const isSold = plans.some(({ for_sale }) => for_sale);
  return (
    <>
      <Standing subscription={subscription} />
      {!isSold && (
        <Notice>
          <p>{t('plan.notSold')}</p>
        </Notice>
      )}
      {act === undefined && <Failure failure={choice.failure ?? portal.failure} />}
      <div class="plans">
        {plans.map((plan) => (
          <PlanCard
            key={plan.tier}
            plan={plan}
            subscription={subscription}
            busy={choice.busy}
            onChoose={plan.tier === 'free' ? undefined : choose.bind(undefined, plan.tier)}
          />
        ))}
      </div>
      <div class="actions">
        {subscription.status !== 'none' && (
          <Button busy={portal.busy} onClick={() => void portal.run()}>
            {t('plan.portal')}
          </Button>
        )}
        {isRunning(subscription) && !subscription.cancel_at_period_end && (
          <Button kind="danger" onClick={() => setAct({ kind: 'cancel' })}>
            {t('plan.cancel')}
          </Button>
        )}
      </div>
      <PaymentsCard subscription={subscription} />
      {act?.kind === 'cancel' && <CancelDialog onClose={close} change={change} end={subscription.current_period_end} />}
      {act?.kind === 'change' && (
        <ChangeDialog tier={act.tier} choice={choice} current={subscription} onClose={close} />
      )}
    </>
  );
}

/** Shows the plans side by side, the one in force, and how to change it. */
export function PlanView() {
  const offer = useLoad<Offer>(async (signal) => {
    const [subscription, { plans }] = await Promise.all([
      api.get<Subscription>('subscriptions', {}, signal),
      api.get<Static<typeof PlansSchema>>('subscriptions/plans', {}, signal),
    ]);
    return { subscription, plans };
  }, []);
  return (
    <View title={t('plan.title')}>
      <Loads from={offer}>
        {(data) => <Content offer={data} change={(subscription) => offer.change({ ...data, subscription })} />}
      </Loads>
    </View>
  );
}
