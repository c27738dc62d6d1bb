import { useEffect, useState } from 'preact/hooks';
import { SmallPage } from '../account/small-page.js';
import { ButtonLink } from '../foundation/components/button.js';
import { type Fact, Facts } from '../foundation/components/facts.js';
import { Failure } from '../foundation/components/notice.js';
import { Loading } from '../foundation/components/spinner.js';
import { formatCount, formatDate } from '../foundation/format.js';
import { formatMoney } from '../foundation/money.js';
import { mount } from '../foundation/mount.js';
import { t } from '../foundation/text/text.js';
import { follow, type Progress, type Purchase, takeCheckoutId } from './purchase.js';

function ToPlan({ kind = 'plain' }: { readonly kind?: 'primary' | 'plain' }) {
  return (
    <ButtonLink kind={kind} href="dashboard#/plan">
      {t('checkout.toPlan')}
    </ButtonLink>
  );
}

function toFacts({ amount, currency, bought }: Purchase): readonly (Fact | false)[] {
  return [
    bought !== null && [t('checkout.plan'), t(`plan.tiers.${bought.tier}`)],
    amount !== null && currency !== null && [t('checkout.paid'), formatMoney(amount, currency)],
    bought !== null && [
      t('checkout.period'),
      t('checkout.fromTo', { from: formatDate(bought.period_start), to: formatDate(bought.period_end) }),
    ],
    bought !== null && [t('checkout.tokens'), formatCount(bought.tokens_granted)],
  ];
}

function Outcome({ purchase, failure, late = false, retry }: Progress & { readonly retry: () => void }) {
  if (failure?.code === 'CHECKOUT_NOT_FOUND' || failure?.code === 'VALIDATION_FAILED')
    return (
      <SmallPage title={t('account.linkDead')} lead={t('checkout.unknown')} focus>
        <ToPlan />
      </SmallPage>
    );
  if (purchase === undefined)
    return (
      <SmallPage title={t('checkout.waiting')}>
        {failure === undefined ? <Loading /> : <Failure failure={failure} retry={retry} />}
      </SmallPage>
    );
  const isPaid = purchase.status !== 'unpaid';
  const sentence =
    purchase.status === 'granted' ? t('checkout.done') : isPaid ? t('checkout.onTheirWay') : t('checkout.unpaidLead');
  return (
    <SmallPage title={isPaid ? t('checkout.arrived') : t('checkout.unpaid')} focus>
      <p role="status">{late ? t('checkout.late') : sentence}</p>
      {isPaid && <Facts facts={toFacts(purchase)} />}
      <ToPlan kind={purchase.status === 'granted' ? 'primary' : 'plain'} />
    </SmallPage>
  );
}

function CheckoutSuccess() {
  const [id, setId] = useState(takeCheckoutId);
  const [progress, setProgress] = useState<Progress>({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    const begin = () => setId(takeCheckoutId());
    window.addEventListener('hashchange', begin);
    return () => window.removeEventListener('hashchange', begin);
  }, []);
  useEffect(() => {
    if (id === '') return;
    let current = true;
    setProgress({});
    void follow(id, () => current, setProgress);
    return () => {
      current = false;
    };
  }, [id, round]);
  if (id === '')
    return (
      <SmallPage title={t('account.linkIncomplete')} lead={t('checkout.incomplete')}>
        <ToPlan />
      </SmallPage>
    );
  return <Outcome {...progress} retry={() => setRound(round + 1)} />;
}

void mount(CheckoutSuccess);
