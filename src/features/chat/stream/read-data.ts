import type { AnswerCodec, Reading } from '../codec.js';
import { isFields, parseJson } from '../json-fields.js';

/** Reads the data of one event; undefined where it is no JSON object. */
export type ReadData = (data: string) => Reading | undefined;

type ChunkReading = Extract<Reading, { kind: 'chunk' }>;

/** Chunks that differ in the text of one member alone. */
interface Mould {
  /** What stands before the text, its quotation mark included, and what stands after it. */
  readonly head: string;
  readonly tail: string;
  readonly reading: ChunkReading;
}

/** What a JSON string says as it stands: nothing in it is escaped (RFC 8259, section 7). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them in strings.
const LITERAL = /^[^"\\\u0000-\u001f]+$/;
/** The end of what stands before a text that the model wrote, whatever it says. */
const WORDS_NAME = /"(content|reasoning|reasoning_content)":\s*$/;
const PROBE = 'any other text';
/** Moulds a stream may have made in vain: some upstreams change a member with every chunk. */
const SPARE_MOULDS = 16;

const withoutText = (reading: ChunkReading) => JSON.stringify({ ...reading, chunk: { ...reading.chunk, text: '' } });

/** Returns the mould of a chunk; undefined where something else depends on its text, or might. */
function makeMould(data: string, reading: ChunkReading, read: ReadData): Mould | undefined {
  const { text } = reading.chunk;
  const start = data.indexOf(`"${text}"`) + 1;
  if (start === 0 || !WORDS_NAME.test(data.slice(Math.max(0, start - 30), start - 1))) return undefined;
  const [head, tail] = [data.slice(0, start), data.slice(start + text.length)];
  const probe = read(`${head}${PROBE}${tail}`);
  const isAlike = probe?.kind === 'chunk' && probe.chunk.text === PROBE && withoutText(probe) === withoutText(reading);
  return isAlike ? { head, tail, reading } : undefined;
}

/** Returns what the mould says of a chunk; undefined for one that does not come out of it. */
function readMoulded({ head, tail, reading }: Mould, data: string): ChunkReading | undefined {
  if (!data.startsWith(head) || !data.endsWith(tail)) return undefined;
  const text = data.slice(head.length, data.length - tail.length);
  return LITERAL.test(text) ? { ...reading, chunk: { ...reading.chunk, text } } : undefined;
}

/**
 * Builds the reader of one stream's data. Nearly all chunks of an answer are like the one before but for what the model
 * wrote: where the codec remembers nothing of them, those are not parsed again.
 */
export function createDataReader(codec: AnswerCodec): ReadData {
  const read: ReadData = (data) => {
    const value = parseJson(data);
    return isFields(value) ? codec.readEvent(value) : undefined;
  };
  if (!codec.isStateless) return read;
  let mould: Mould | undefined;
  let made = 0;
  let used = 0;
  return (data) => {
    const known = mould && readMoulded(mould, data);
    if (known !== undefined) {
      used += 1;
      return known;
    }
    const reading = read(data);
    if (reading?.kind === 'chunk' && reading.chunk.text !== '' && made < SPARE_MOULDS + used) {
      mould = makeMould(data, reading, read) ?? mould;
      made += 1;
    }
    return reading;
  };
}
