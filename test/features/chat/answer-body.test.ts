import { setImmediate } from 'node:timers/promises';
import { createIncomingBody } from '../../../src/features/chat/openrouter/answer-body.js';
import t from '../../helpers/run/tap.js';

const LARGE = Buffer.alloc(70_000, 'x');
const toBytes = (text: string) => Buffer.from(text);

/** Opens a body whose connection has more as soon as it may send it. */
function openBody(more: readonly Buffer[] = []) {
  const left = [...more];
  let aborted = 0;
  const body = createIncomingBody({
    resume: () => {
      for (let next = left.shift(); next !== undefined && body.push(next); next = left.shift());
    },
    abort: () => {
      aborted += 1;
    },
  });
  return { body, aborted: () => aborted };
}

t.test('what comes in one turn is one piece, and what one reader leaves is for the next', async (t) => {
  const { body } = openBody();
  body.push(toBytes('before '));
  const pieces: string[] = [];
  const first = body.read((piece) => pieces.push(piece.toString()) === 2);
  for (const word of ['a ', 'reader']) body.push(toBytes(word));
  await setImmediate();
  for (const word of ['one ', 'turn']) body.push(toBytes(word));
  t.equal(await first, false, 'it had enough');
  t.strictSame(pieces, ['before a reader', 'one turn']);
  body.push(toBytes('the rest'));
  body.end();
  t.equal(await body.read((piece) => pieces.push(piece.toString()) === 0), true, 'it came to its end');
  t.equal(pieces.at(-1), 'the rest');
});

t.test('a reader that waits is handed nothing meanwhile, however much comes', async (t) => {
  const { body } = openBody([LARGE, LARGE, toBytes('last')]);
  let waiting = 0;
  const lengths: number[] = [];
  const reading = body.read(async (piece) => {
    waiting += 1;
    t.equal(waiting, 1, 'nobody else waits');
    lengths.push(piece.length);
    await setImmediate();
    waiting -= 1;
    return lengths.length === 4;
  });
  t.notOk(body.push(LARGE), 'the connection is to wait');
  t.equal(await reading, false);
  t.strictSame(lengths, [70_000, 70_000, 70_000, 4]);
});

t.test('a body that breaks off fails after all that had come, and one that is destroyed is aborted once', async (t) => {
  const broken = openBody();
  broken.body.push(toBytes('it came'));
  broken.body.fail(new Error('broke off'));
  let text = '';
  const take = (piece: Buffer) => {
    text += piece.toString();
    return false;
  };
  await t.rejects(broken.body.read(take), /broke off/);
  t.equal(text, 'it came');

  const destroyed = openBody();
  const reading = destroyed.body.read(take);
  destroyed.body.destroy();
  destroyed.body.destroy();
  await t.rejects(reading, /closed before its end/);
  t.equal(destroyed.aborted(), 1);

  const ended = openBody();
  ended.body.end();
  ended.body.destroy();
  t.equal(ended.aborted(), 0, 'the connection of a body that has come to its end is used again');

  const thrown = openBody();
  thrown.body.push(toBytes('x'));
  const error = new Error('too long');
  await t.rejects(
    thrown.body.read(() => {
      throw error;
    }),
    error,
  );
});

t.end();
