import { ApiFailure, parseSums, readField, readList, readNumber, readText } from './answers.js';
import { element, make } from './dom.js';
import { forecast, type MonthSoFar, usedUpAt } from './forecast.js';
import { count, formatDate, monthName, roughCount } from './format.js';
import { loadJson } from './session.js';
import { daysQuery, thisMonth } from './time.js';

const ABOUT = 'The use so far, divided by the time passed, times the length of the month.';

/** What the person may use, in tokens. */
interface Balance {
  readonly allocated: number;
  readonly used: number;
  readonly reserved: number;
  readonly remaining: number;
}

/** A calendar month and what was used in it so far. */
interface Month {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly tokens: number;
  /** Tokens debited from the person's balance; what their devices spent is debited from balances of their own. */
  readonly debited: number;
}

/** The balance, or undefined where the server keeps none for people; and the use of this month. */
export interface Means {
  readonly balance: Balance | undefined;
  readonly month: Month;
}

async function loadBalance(signal: AbortSignal): Promise<Balance | undefined> {
  try {
    const answer = await loadJson('users/me/balance', signal);
    const [allocated, used] = [readNumber(answer, 'allocated'), readNumber(answer, 'used')];
    return { allocated, used, reserved: readNumber(answer, 'reserved'), remaining: readNumber(answer, 'remaining') };
  } catch (error) {
    if (error instanceof ApiFailure && error.status === 404) return undefined;
    throw error;
  }
}

async function loadMonth(signal: AbortSignal): Promise<Month> {
  const days = thisMonth();
  const answer = await loadJson(`usage/summary?group_by=device&${daysQuery(days)}`, signal);
  const own = readList(answer, 'series').filter((row) => readField(row, 'device') === null);
  return {
    name: monthName(days.from),
    from: Date.parse(readText(answer, 'from')),
    to: Date.parse(readText(answer, 'to')),
    tokens: parseSums(readField(answer, 'totals')).tokens,
    debited: own.reduce<number>((sum, row) => sum + parseSums(row).debited, 0),
  };
}

/** Asks for the balance and for what was used since the month began. */
export async function loadMeans(signal: AbortSignal): Promise<Means> {
  const [balance, month] = await Promise.all([loadBalance(signal), loadMonth(signal)]);
  return { balance, month };
}

function row(label: string, value: string): HTMLDivElement {
  return make('div', '', make('dt', '', label), make('dd', '', value));
}

function part(kind: string, value: number, all: number): HTMLSpanElement {
  const made = make('span', kind);
  made.style.inlineSize = `${all === 0 ? 0 : Math.min(100, (value / all) * 100)}%`;
  return made;
}

function showBalance({ allocated, used, reserved, remaining }: Balance): void {
  const bar = make('div', 'meter', part('used', used, allocated), part('reserved', reserved, allocated));
  bar.setAttribute('aria-hidden', 'true');
  const rows = [row('Granted', count(allocated)), row('Used', count(used))];
  if (reserved > 0) rows.push(row('Set aside for running requests', count(reserved)));
  element('balance', HTMLDivElement).replaceChildren(
    make('p', 'figure', make('b', '', count(remaining)), ' tokens left'),
    bar,
    make('dl', 'facts', ...rows),
  );
}

/** What the debits of the month come to, in a sentence. */
function balanceForecast(month: MonthSoFar, remaining: number, now: number): string {
  const expected = forecast(month, now);
  if (month.used === 0) return 'Nothing was debited this month, so there is no forecast for the balance.';
  if (expected === undefined) return 'The month is too young for a forecast of the balance.';
  const end = usedUpAt(month, remaining, now);
  if (end !== undefined) return `At the pace of this month the balance is used up around ${formatDate(end)}.`;
  const left = remaining - (expected - month.used);
  return `At the pace of this month about ${roughCount(expected)} are debited in all, and ${roughCount(left)} left at its end.`;
}

function showMonth({ from, to, tokens, debited }: Month, now: number): void {
  const expected = forecast({ from, to, used: tokens }, now);
  const rows = [row('Tokens so far', count(tokens)), row('Debited from the balance', count(debited))];
  if (expected !== undefined) rows.push(row('Expected in all', `about ${roughCount(expected)}`));
  element('month', HTMLDListElement).replaceChildren(...rows);
  const none = tokens === 0 ? 'No use yet this month, so no forecast.' : 'The month is too young for a forecast.';
  element('month-note', HTMLParagraphElement).textContent = expected === undefined ? none : ABOUT;
}

/** Shows the balance, the month and what it comes to. */
export function showMeans({ balance, month }: Means): void {
  const now = Date.now();
  element('month-heading', HTMLHeadingElement).textContent = month.name;
  showMonth(month, now);
  const outlook = element('balance-note', HTMLParagraphElement);
  if (balance === undefined) {
    element('balance', HTMLDivElement).replaceChildren();
    outlook.textContent = 'Not available on this server.';
    return;
  }
  showBalance(balance);
  outlook.textContent = balanceForecast({ ...month, used: month.debited }, balance.remaining, now);
}
