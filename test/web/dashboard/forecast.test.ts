import { forecast, usedUpAt } from '../../../src/web/dashboard/tokens/forecast.js';
import t from '../../helpers/run/tap.js';

const DAY = 24 * 60 * 60 * 1_000;
const from = Date.UTC(2026, 5, 1);
const june = { from, to: from + 30 * DAY };

t.test('a month goes on as it began', async (t) => {
  t.equal(forecast({ ...june, used: 100 }, from + 10 * DAY), 300);
  t.equal(forecast({ ...june, used: 100 }, from + 15 * DAY), 200);
  t.equal(forecast({ ...june, used: 100 }, june.to), 100, 'a month that is over comes to what it was');
  t.equal(forecast({ ...june, used: 100 }, june.to + DAY), 100);
});

t.test('a month with a change of the clocks is an hour shorter', async (t) => {
  const march = { from, to: from + 31 * DAY - DAY / 24 };
  t.equal(forecast({ ...march, used: 743 }, from + 100 * (DAY / 24) * 7.43), 743);
});

t.test('without use, or on the first day, nothing is said', async (t) => {
  t.equal(forecast({ ...june, used: 0 }, from + 10 * DAY), undefined);
  t.equal(forecast({ ...june, used: 100 }, from + DAY - 1), undefined);
  t.equal(forecast({ ...june, used: 100 }, from + DAY), 3_000);
  t.equal(forecast({ ...june, used: 100 }, from - DAY), undefined, 'nor by a clock that is behind');
});

t.test('what remains lasts until it is used up, or longer than the month', async (t) => {
  const month = { ...june, used: 100 };
  const tenth = from + 10 * DAY;
  t.equal(usedUpAt(month, 50, tenth), from + 15 * DAY);
  t.equal(usedUpAt(month, 0, tenth), tenth, 'nothing left is used up now');
  t.equal(usedUpAt(month, 200, tenth), undefined, 'it lasts exactly');
  t.equal(usedUpAt(month, 199, tenth), tenth + 19.9 * DAY);
  t.equal(usedUpAt({ ...june, used: 0 }, 50, tenth), undefined);
});
