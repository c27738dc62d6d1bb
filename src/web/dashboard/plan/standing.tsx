import { Facts } from '../../foundation/components/facts.js';
import { Notice } from '../../foundation/components/notice.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount, formatDate } from '../../foundation/format.js';
import { findText, t } from '../../foundation/text/text.js';
import type { Subscription } from './offer.js';

/** Says what is out of the ordinary: an end that is near, or a payment that is overdue. */
function Outlook({ subscription }: { readonly subscription: Subscription }) {
  const { cancel_at_period_end, current_period_end, grace_ends_at, status } = subscription;
  if (grace_ends_at !== null)
    return (
      <Notice tone="warning">
        <p>{t('plan.overdue', { date: formatDate(grace_ends_at) })}</p>
      </Notice>
    );
  if (cancel_at_period_end && current_period_end !== null && status !== 'canceled')
    return (
      <Notice>
        <p>{t('plan.ends', { date: formatDate(current_period_end) })}</p>
      </Notice>
    );
  return null;
}

/** Shows the plan in force, what was paid for, and what that granted. */
export function Standing({ subscription }: { readonly subscription: Subscription }) {
  const { tier, status, current_period_start, current_period_end, usage } = subscription;
  const limit = usage.device_limit === null ? t('plan.anyNumber') : formatCount(usage.device_limit);
  const period =
    current_period_start !== null && current_period_end !== null
      ? t('checkout.fromTo', { from: formatDate(current_period_start), to: formatDate(current_period_end) })
      : undefined;
  return (
    <>
      <Outlook subscription={subscription} />
      <Card title={t('plan.standing')}>
        <Facts
          facts={[
            [t('plan.current'), t(`plan.tiers.${tier}`)],
            status !== 'none' && [t('plan.status'), findText(`plan.statuses.${status}`) ?? status],
            period !== undefined && [t('checkout.period'), period],
            status !== 'none' && [t('plan.granted'), formatCount(usage.tokens_granted)],
            usage.tokens_owed > 0 && [t('plan.owed'), formatCount(usage.tokens_owed)],
            [t('plan.usedSince', { date: formatDate(usage.since) }), formatCount(usage.tokens_used)],
            [t('tokens.leftColumn'), formatCount(usage.tokens_left)],
            [t('plan.linkedDevices'), t('plan.ofLimit', { count: usage.devices, limit })],
          ]}
        />
      </Card>
    </>
  );
}
