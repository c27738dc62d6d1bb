import { ApiFailure } from './answers.js';
import { loadMeans, showMeans } from './balance-section.js';
import { saveCsv } from './csv.js';
import { redrawDays, showDays } from './day-section.js';
import { element } from './dom.js';
import { loadEvents, showEvents, showMoreEvents } from './event-section.js';
import { dayRange } from './format.js';
import { showModels } from './model-section.js';
import { resume, signOut, wasSignedIn } from './session.js';
import { listenForSignIn, showForm } from './sign-in.js';
import { type Days, daysQuery, lastDays, TIME_ZONE } from './time.js';
import { loadUse, showTotals, type Use } from './use.js';

const PATIENCE_MS = 30_000;
const UNREACHED =
  'You are signed out here, but the server did not answer: it ends the session by itself when it expires.';

const heading = element('heading', HTMLHeadingElement);
const account = element('account', HTMLDivElement);
const address = element('address', HTMLSpanElement);
const usage = element('usage', HTMLDivElement);
const status = element('status', HTMLParagraphElement);
const alert = element('alert', HTMLDivElement);
const alertText = element('alert-text', HTMLParagraphElement);
const csv = element('csv', HTMLButtonElement);
const more = element('events-more', HTMLButtonElement);

let days: Days = lastDays(30);
let loading = new AbortController();

/** A signal for the requests of one loading: a newer one stops them. */
function toSignal({ signal }: AbortController): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
}

function showSignIn(reason = ''): void {
  loading.abort();
  usage.hidden = true;
  account.hidden = true;
  alert.hidden = true;
  status.textContent = '';
  heading.textContent = 'Sign in to see your usage';
  document.title = 'Sign in – Tokenledger';
  showForm(true, reason);
}

function showAlert(sentence: string): void {
  alert.hidden = false;
  alertText.textContent = sentence;
}

/** Tells a failure, or leads to the form when the session is over. Anything else is a defect of this page. */
function report(error: unknown): void {
  if (!(error instanceof ApiFailure)) throw error;
  if (error.code === 'SESSION_ENDED') showSignIn(error.message);
  else showAlert(error.message);
}

/** Fills a part of the page when its answer is there, and answers whether it did; a part that fails leaves the others alone. */
async function fill<T>(id: string, work: Promise<T>, show: (answer: T) => void, { signal }: AbortController) {
  const part = element(id, HTMLElement);
  part.setAttribute('aria-busy', 'true');
  try {
    const answer = await work;
    if (signal.aborted) return false;
    show(answer);
    part.classList.remove('failed');
    part.removeAttribute('aria-busy');
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    part.classList.add('failed');
    part.removeAttribute('aria-busy');
    report(error);
    return false;
  }
}

function rangeLength(): number {
  const checked = document.querySelector('input[name=days]:checked');
  return checked instanceof HTMLInputElement ? Number(checked.value) : 30;
}

/** Loads everything for the range that is chosen. */
async function load(): Promise<void> {
  loading.abort();
  loading = new AbortController();
  const current = loading;
  const signal = toSignal(current);
  const length = rangeLength();
  days = lastDays(length);
  const query = daysQuery(days);
  alert.hidden = true;
  status.textContent = 'Loading…';
  const use = loadUse(query, signal);
  const show = (answer: Use) => {
    usage.classList.toggle('empty', answer.totals.events === 0);
    csv.disabled = answer.totals.events === 0;
    showTotals(answer.totals);
    showDays(answer, `Last ${length} days`);
  };
  const filled = await Promise.all([
    fill('use', use, show, current),
    fill('models', use, ({ models, slots }) => showModels(models, slots), current),
    fill('means', loadMeans(signal), showMeans, current),
    fill('events', loadEvents(query, signal), showEvents, current),
  ]);
  if (current.signal.aborted) return;
  status.textContent = filled.every(Boolean) ? `Showing ${dayRange(days.from, days.to)}.` : '';
}

function showUsage(email: string): void {
  showForm(false);
  heading.textContent = 'Your usage';
  document.title = 'Your usage – Tokenledger';
  address.textContent = email;
  account.hidden = false;
  usage.hidden = false;
  heading.focus();
  void load();
}

/** Does what a button is for; while it does, the button does nothing. */
function onClick(button: HTMLButtonElement, work: () => Promise<void>): void {
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    await work().catch(report);
    button.removeAttribute('aria-disabled');
  });
}

async function begin(): Promise<void> {
  if (!wasSignedIn()) return showSignIn();
  status.textContent = 'Loading…';
  try {
    showUsage(await resume());
  } catch (error) {
    // Without an answer the session may still be good: the button of the alert tries again.
    report(error);
    status.textContent = '';
  }
}

element('zone-note', HTMLParagraphElement).textContent = `Days begin and end as in ${TIME_ZONE}.`;
listenForSignIn(showUsage);
onClick(element('sign-out', HTMLButtonElement), async () => {
  const known = await signOut();
  showSignIn(known ? 'You are signed out.' : UNREACHED);
});
onClick(element('retry', HTMLButtonElement), () => (usage.hidden ? begin() : load()));
onClick(csv, async () => {
  status.textContent = 'The file is being written…';
  await saveCsv(days);
  status.textContent = 'The file is saved.';
});
onClick(more, async () => {
  const current = loading;
  try {
    status.textContent = await showMoreEvents(daysQuery(days), toSignal(current));
  } catch (error) {
    if (!current.signal.aborted) throw error;
  }
});
element('range', HTMLFieldSetElement).addEventListener('change', () => void load());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawDays);
void begin();
