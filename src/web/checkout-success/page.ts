import { element, fieldOf, type Outcome, post, textIn } from '../account/page.js';

/** Pauses between questions, in milliseconds: Stripe usually tells the server within seconds. */
const PAUSES_MS = [1_000, 2_000, 3_000, 5_000, 8_000, 13_000, 20_000, 30_000];

const heading = element('heading', HTMLHeadingElement);
const facts = element('facts', HTMLDListElement);
const status = element('status', HTMLParagraphElement);

/** Takes the id of the payment page out of the address, so that it is in no history or bookmark; a reload keeps it. */
function takeCheckoutId(): string {
  const id = location.hash.slice(1) || (sessionStorage.getItem('tokenledger.checkout') ?? '');
  if (id !== '') sessionStorage.setItem('tokenledger.checkout', id);
  history.replaceState(null, '', location.pathname);
  return id;
}

/** How many digits of an amount are behind the point, as Stripe counts (https://docs.stripe.com/currencies); two in all others. */
const STRIPE_DIGITS: ReadonlyMap<string, number> = new Map([
  ...'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf'.split(' ').map((code) => [code, 0] as const),
  ...'bhd jod kwd omr tnd'.split(' ').map((code) => [code, 3] as const),
]);

/** Returns an amount as people write it. They may count a currency in other units than Stripe does, such as the Icelandic króna. */
function formatMoney(amount: number, currency: string): string {
  const format = new Intl.NumberFormat(undefined, { style: 'currency', currency });
  return format.format(amount / 10 ** (STRIPE_DIGITS.get(currency) ?? 2));
}

const formatDay = (time: string) => new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(new Date(time));

function present(title: string, sentence: string): void {
  if (heading.textContent !== title) {
    heading.textContent = title;
    document.title = title;
    heading.focus();
  }
  status.textContent = sentence;
}

/** Fills a row in, or hides it while what it says is not known. */
function fillIn(id: string, text: string): void {
  const value = element(id, HTMLElement);
  value.textContent = text;
  if (value.parentElement !== null) value.parentElement.hidden = text === '';
}

function showFacts(purchase: unknown): void {
  const [amount, bought] = [fieldOf(purchase, 'amount'), fieldOf(purchase, 'bought')];
  const [tier, tokens] = [textIn(bought, 'tier'), fieldOf(bought, 'tokens_granted')];
  const [start, end] = [textIn(bought, 'period_start'), textIn(bought, 'period_end')];
  const currency = textIn(purchase, 'currency');
  fillIn('amount', typeof amount === 'number' && currency !== '' ? formatMoney(amount, currency) : '');
  fillIn('plan', tier.charAt(0).toUpperCase() + tier.slice(1));
  fillIn('period', start === '' ? '' : `${formatDay(start)} to ${formatDay(end)}`);
  fillIn('tokens', typeof tokens === 'number' ? new Intl.NumberFormat().format(tokens) : '');
  facts.hidden = false;
}

/** Shows what is known; returns whether there is more to come. */
function show({ code, sentence, body }: Outcome): boolean {
  if (code === 'CHECKOUT_NOT_FOUND' || code === 'VALIDATION_FAILED') {
    present(
      'This link does not work',
      'It belongs to no payment here. If you have paid, your tokens come all the same.',
    );
    return false;
  }
  if (code !== 'OK') {
    status.textContent = sentence;
    return code === '' || code === 'SERVICE_UNAVAILABLE' || code === 'RATE_LIMITED';
  }
  if (textIn(body, 'status') === 'unpaid') {
    present('Nothing was charged yet', 'The payment is not complete. Some banks take a while; this page looks again.');
    return true;
  }
  showFacts(body);
  const isGranted = textIn(body, 'status') === 'granted';
  const [done, waiting] = ['Thank you! Your plan is active. You can close this page.', 'Your tokens are on their way…'];
  present('Your payment has arrived', isGranted ? done : waiting);
  return !isGranted;
}

/** The payment page the browser has come from last. */
let current = '';

/** Asks until the purchase is complete, for about a minute and a half. */
async function follow(checkout_id: string): Promise<void> {
  for (const pause of [0, ...PAUSES_MS]) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    const outcome = await post('api/subscriptions/purchase', { checkout_id });
    if (checkout_id !== current || !show(outcome)) return;
  }
  status.textContent = 'This takes longer than usual. You can close this page; load it again to look once more.';
}

function begin(): void {
  current = takeCheckoutId();
  if (current === '') present('This link is incomplete', 'Nothing here says which payment it is about.');
  else {
    status.textContent = 'One moment…';
    void follow(current);
  }
}

window.addEventListener('hashchange', begin);
begin();
