import { Button } from '../../foundation/components/button.js';
import { classes } from '../../foundation/components/classes.js';
import { Facts } from '../../foundation/components/facts.js';
import { Badge } from '../../foundation/components/notice.js';
import { formatCount } from '../../foundation/format.js';
import { formatMoney } from '../../foundation/money.js';
import { t } from '../../foundation/text/text.js';
import type { Plan, Subscription } from './offer.js';

function Price({ plan }: { readonly plan: Plan }) {
  if (plan.price === null) return plan.tier === 'free' ? <p class="big">{t('plan.free')}</p> : null;
  const { amount, currency, interval } = plan.price;
  return (
    <p class="big">
      {formatMoney(amount, currency)} <small>{t(`plan.per.${interval}`)}</small>
    </p>
  );
}

/** What the button of a plan says: it is kept, chosen, or changed to. */
function nameChoice(plan: Plan, { tier, cancel_at_period_end }: Subscription): string | undefined {
  if (!plan.for_sale) return undefined;
  if (plan.tier === tier) return cancel_at_period_end ? t('plan.keep') : undefined;
  return t('plan.choose', { plan: t(`plan.tiers.${plan.tier}`) });
}

/** Shows what a plan is worth and costs, and the button that chooses it. */
export function PlanCard({
  plan,
  subscription,
  busy,
  onChoose,
}: {
  readonly plan: Plan;
  readonly subscription: Subscription;
  readonly busy: boolean;
  readonly onChoose: (() => void) | undefined;
}) {
  const { tier, monthly_tokens, device_limit } = plan;
  const isCurrent = tier === subscription.tier;
  const choice = nameChoice(plan, subscription);
  return (
    <section class={classes('card', 'plan', isCurrent && 'current')} aria-label={t(`plan.tiers.${tier}`)}>
      <div class="card-head">
        <h2>{t(`plan.tiers.${tier}`)}</h2>
        {isCurrent && <Badge tone="good">{t('plan.current')}</Badge>}
      </div>
      <Price plan={plan} />
      <Facts
        facts={[
          [t('plan.monthlyTokens'), monthly_tokens === 0 ? t('plan.noTokens') : formatCount(monthly_tokens)],
          [t('plan.devices'), device_limit === null ? t('plan.anyNumber') : formatCount(device_limit)],
        ]}
      />
      {choice !== undefined && onChoose !== undefined && (
        <Button kind="primary" wide busy={busy} onClick={onChoose}>
          {choice}
        </Button>
      )}
    </section>
  );
}
