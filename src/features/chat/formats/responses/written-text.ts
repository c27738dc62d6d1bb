import { type Fields, isFields, toFields, toList } from '../../json-fields.js';
import { toWrittenText } from '../../metering/written-text.js';

/** Members of an event that say where it belongs, or what upstream adds to it. */
const ENVELOPE: ReadonlySet<string> = new Set([
  'annotation',
  'debug',
  'logprobs',
  'obfuscation',
  'phase',
  'status',
  'type',
  'usage',
]);
/** Members of an item that tell how far it is, and what it is for. */
const ITEM_LABELS: ReadonlySet<string> = new Set(['phase', 'status']);

const without = (fields: Fields, names: ReadonlySet<string>): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.has(name)));

const itemToText = (item: unknown): string => toWrittenText([without(toFields(item), ITEM_LABELS)]);

/** Returns all text of a response that the model wrote: its items, or their texts joined where it has only those. */
export function responseToText({ output, output_text: joined }: Fields): string {
  const text = toList(output).map(itemToText).join('');
  return typeof joined === 'string' && joined.length > text.length ? joined : text;
}

/** Returns the text of a part of an answer that has come bit by bit, also what stands beside it; sound is no text. */
function deltaToText(event: Fields): string {
  const { type, delta, ...beside } = event;
  const isSound = typeof delta === 'string' && /\baudio\.delta$/.test(String(type));
  return toWrittenText([isSound ? { data: delta } : delta, without(beside, ENVELOPE)]);
}

/** What the events that repeat a text as a whole have shown of one item. */
interface Shown {
  /** Characters of its parts, by their places. */
  readonly parts: Map<string, number>;
  /** Characters of the whole item. */
  item: number;
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, number) => total + number, 0);
const measure = ({ parts, item }: Shown) => Math.max(item, sum(parts.values()));

/** Finds in the events of a stream what the model wrote. */
export interface WrittenText {
  /** Returns the text in an event that has not come in those before it. */
  readonly read: (event: Fields) => string;
}

/**
 * Builds the reader of one stream. Every text comes bit by bit, and is then repeated: as a whole, with its part, its item
 * and in the end with the whole response. A repetition counts by what it shows beyond all that has come before it, so
 * that no text counts twice, and none that only came as a whole is free.
 */
export function createWrittenText(): WrittenText {
  const items = new Map<string, Shown>();
  /** Characters that have counted, and those that repetitions have shown. */
  let counted = 0;
  let shown = 0;

  const takeUnseen = (text: string): string => {
    const missing = Math.min(Math.max(shown - counted, 0), text.length);
    counted += missing;
    return missing === 0 ? '' : text.slice(-missing);
  };
  const show = (event: Fields, change: (item: Shown) => void) => {
    const index = String(event['output_index']);
    const item = items.get(index) ?? { parts: new Map(), item: 0 };
    items.set(index, item);
    const before = measure(item);
    change(item);
    shown += measure(item) - before;
  };
  const readItem = (event: Fields): string => {
    const text = itemToText(event['item']);
    show(event, (item) => {
      item.item = Math.max(item.item, text.length);
    });
    return takeUnseen(text);
  };
  const readPart = (event: Fields): string => {
    const { part, ...rest } = event;
    const text = toWrittenText([isFields(part) ? part : without(rest, ENVELOPE)]);
    const place = `${event['content_index']}/${event['summary_index']}`;
    show(event, ({ parts }) => parts.set(place, Math.max(parts.get(place) ?? 0, text.length)));
    return takeUnseen(text);
  };

  return {
    read: (event) => {
      if (isFields(event['response'])) {
        const text = responseToText(event['response']);
        shown = Math.max(shown, text.length);
        return takeUnseen(text);
      }
      if (isFields(event['item'])) return readItem(event);
      if (!('delta' in event)) return readPart(event);
      const text = deltaToText(event);
      counted += text.length;
      return text;
    },
  };
}
