import { createEventScanner } from '../../../src/features/chat/stream/sse.js';
import type { StreamEvent } from '../../../src/features/chat/stream/stream-event.js';
import t from '../../helpers/run/tap.js';

const STREAM = [
  ': OPENROUTER PROCESSING\n\n',
  'data: {"a":"héllo 😀"}\n\n',
  'event: x\r\ndata: one\r\ndata: two\r\n\r\n',
  'id: 1\rdata:three\r\r',
  'data\n\n',
  'data: [DONE]\n\n',
].join('');
const DATA = [undefined, '{"a":"héllo 😀"}', 'one\ntwo', 'three', '', '[DONE]'];

function scan(pieces: readonly Buffer[]): StreamEvent[] {
  const scanner = createEventScanner();
  return [...pieces.flatMap((piece) => scanner.push(piece)), ...scanner.end()];
}

t.test('a stream is cut into its events, wherever its bytes are cut, and no byte is lost', async (t) => {
  const bytes = Buffer.from(STREAM);
  for (let first = 0; first <= bytes.length; first += 1) {
    for (const second of [first, Math.min(first + 1, bytes.length), Math.floor((first + bytes.length) / 2)]) {
      const pieces = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
      const events = scan(pieces);
      const data = events.map((event) => event.data);
      if (JSON.stringify(data) !== JSON.stringify(DATA)) t.strictSame(data, DATA, `cut at ${first} and ${second}`);
      const whole = Buffer.concat(events.map(({ raw }) => raw));
      if (!whole.equals(bytes)) t.fail(`bytes differ, cut at ${first} and ${second}`);
    }
  }
  const single = scan([...bytes].map((byte) => Buffer.from([byte])));
  t.strictSame(
    single.map(({ data }) => data),
    DATA,
    'byte by byte',
  );
});

t.test('an event behind a byte order mark is not passed on with it: comments may come before', async (t) => {
  const [first, second] = scan([Buffer.from('\uFEFFdata: {"a":1}\n\ndata: {"b":2}\n\n')]);
  t.match(first, { data: '{"a":1}', isPlain: false, isForeign: false });
  t.match(second, { data: '{"b":2}', isPlain: true });
});

t.test('what comes without a blank line at the end is an event as well', async (t) => {
  const events = scan([Buffer.from('data: a\n\ndata: b')]);
  t.strictSame(
    events.map(({ data }) => data),
    ['a', 'b'],
  );
});

t.test('an event that is complete JSON needs no blank line, wherever its bytes are cut', async (t) => {
  const json = ['{"a":1}', '{"b":{"c":"}\\n"}}', '[DONE]'];
  for (const terminator of ['\n', '\r\n', '\r']) {
    const bytes = Buffer.from(json.map((data) => `data: ${data}${terminator}`).join(''));
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const events = scan([bytes.subarray(0, cut), bytes.subarray(cut)]);
      const raw = Buffer.concat(events.map((event) => event.raw)).toString();
      const wanted = json.map((data) => `data: ${data}${terminator}${terminator}`).join('');
      const data = events.map((event) => event.data);
      if (JSON.stringify(data) !== JSON.stringify(json)) t.strictSame(data, json, `cut at ${cut}`);
      if (raw !== wanted) t.equal(raw, wanted, `cut at ${cut}`);
    }
  }
  t.strictSame(
    scan([Buffer.from('data: {"a":\ndata: 1}\n')]).map(({ data }) => data),
    ['{"a":\n1}'],
  );
});

t.test('an event without end is refused before it fills the memory', async (t) => {
  const scanner = createEventScanner();
  const megabyte = Buffer.alloc(1024 * 1024, 'a');
  t.throws(
    () => {
      for (let count = 0; count < 17; count += 1) scanner.push(megabyte);
    },
    { message: 'an event is too long' },
  );
});
