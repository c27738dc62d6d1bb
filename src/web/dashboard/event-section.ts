import { parseEvent, readField, readList, type UsageEvent } from './answers.js';
import { element, headerCell, make } from './dom.js';
import { count, counted, formatDate, formatTime } from './format.js';
import { loadJson } from './session.js';

const PAGE_ROWS = 20;

const body = element('events-body', HTMLTableSectionElement);
const more = element('events-more', HTMLButtonElement);

let cursor = '';

/** A page of events, newest first. */
export interface EventPage {
  readonly events: readonly UsageEvent[];
  /** Where the next page begins; empty after the last one. */
  readonly cursor: string;
}

/** Asks for the newest events, or for those after a page. */
export async function loadEvents(query: string, signal: AbortSignal, after = ''): Promise<EventPage> {
  const place = after === '' ? '' : `&cursor=${encodeURIComponent(after)}`;
  const page = await loadJson(`usage?limit=${PAGE_ROWS}&${query}${place}`, signal);
  const next = readField(page, 'next_cursor');
  return { events: readList(page, 'usage').map(parseEvent), cursor: typeof next === 'string' ? next : '' };
}

function row(event: UsageEvent): HTMLTableRowElement {
  const when = make('time', '', make('span', '', formatDate(event.at)), ' ', make('small', '', formatTime(event.at)));
  when.dateTime = event.at.toISOString();
  const page = event.page.replace(/^https?:\/\//, '');
  const origin = make('small', '', [event.provider, event.source, page].filter(Boolean).join(' · '));
  origin.title = event.page;
  const what = make('td', 'what', make('span', 'name', event.model), origin);
  const sent = make('span', '', `${count(event.sent)} sent`);
  const received = make('span', '', `${count(event.received)} received`);
  const number = make('td', 'number', count(event.tokens), make('small', 'parts', sent, ' ', received));
  return make('tr', '', headerCell('row', 'when', when), what, number);
}

/** Shows the first page of events. */
export function showEvents(page: EventPage): void {
  body.replaceChildren(...page.events.map(row));
  cursor = page.cursor;
  more.hidden = cursor === '';
}

/** Shows the next page below; answers what to say about it. */
export async function showMoreEvents(query: string, signal: AbortSignal): Promise<string> {
  const page = await loadEvents(query, signal, cursor);
  const rows = page.events.map(row);
  body.append(...rows);
  cursor = page.cursor;
  if (cursor !== '') return `${counted(rows.length, 'more event', 'more events')} shown.`;
  // The button goes: the keyboard goes on where it led.
  const next = rows[0] ?? body.lastElementChild;
  next?.setAttribute('tabindex', '-1');
  if (next instanceof HTMLElement) next.focus();
  more.hidden = true;
  return `${counted(rows.length, 'more event', 'more events')} shown; these are all.`;
}
