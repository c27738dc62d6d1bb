import { DatabaseError } from '../../../src/platform/database/client/database-error.js';
import { readPatiently } from '../../../src/platform/http/files.js';
import t from '../../helpers/run/tap.js';

const refuse = (code: string, status: number) =>
  new DatabaseError({ code, status, message: 'RATE_LIMITED', details: '', hint: '' });

t.test('a page that is refused, as others are busy, is read once they have let go', async (t) => {
  const refusals = [refuse('PT429', 429), refuse('PT503', 503), refuse('PGRST003', 504)];
  const page = await readPatiently(async () => {
    const refusal = refusals.shift();
    if (refusal !== undefined) throw refusal;
    return 'a page';
  });
  t.equal(page, 'a page');
  t.strictSame(refusals, []);
});

t.test('whatever else is wrong ends the file', async (t) => {
  for (const error of [refuse('PT401', 401), refuse('57P01', 503), refuse('', 0), new Error('a mistake of ours')]) {
    let count = 0;
    const read = () =>
      readPatiently(async () => {
        count += 1;
        throw error;
      });
    await t.rejects(read(), error);
    t.equal(count, 1, 'it is not read again');
  }
});
