import { createLocalCounters } from '../../../src/auth/limits/counters.js';
import { createPlaces } from '../../../src/auth/limits/places.js';
import t from '../../helpers/run/tap.js';

const HALF_MINUTE_MS = 30_000;

/** Servers that count together, by a clock of the test's. */
function openServers() {
  const { add } = createLocalCounters();
  let now = 1_000_000_000;
  const open = () => createPlaces(add, 'places', 3, () => now);
  return {
    open,
    passHalfMinute: () => {
      now += HALF_MINUTE_MS;
    },
  };
}

t.test('places are counted over all servers, and one that is left can be taken again', async (t) => {
  const servers = openServers();
  const [one, two] = [servers.open(), servers.open()];
  const first = await one.take('ada');
  t.ok(first && (await one.take('ada')) && (await two.take('ada')));
  t.equal(await two.take('ada'), undefined);
  t.equal(await one.take('ada'), undefined);
  t.ok(await two.take('bob'), 'everybody has their own');
  first?.leave();
  first?.leave();
  t.ok(await two.take('ada'));
  t.equal(await one.take('ada'), undefined, 'leaving twice makes room once');
});

t.test('they stay taken as long as their servers say so, also right after half a minute has passed', async (t) => {
  const servers = openServers();
  const [one, two] = [servers.open(), servers.open()];
  const places = [await one.take('ada'), await two.take('ada'), await two.take('ada')];
  for (let n = 0; n < 5; n += 1) {
    servers.passHalfMinute();
    t.equal(await one.take('ada'), undefined, 'before anybody said so again');
    await one.renew();
    t.equal(await one.take('ada'), undefined, 'when one has');
    await Promise.all([one.renew(), two.renew(), two.renew()]);
    t.equal(await two.take('ada'), undefined, 'and when all have');
  }
  servers.passHalfMinute();
  places[1]?.leave();
  t.ok(await one.take('ada'));
  t.equal(await two.take('ada'), undefined);
});

t.test('those of a server that was killed are free after a minute', async (t) => {
  const servers = openServers();
  const [one, killed] = [servers.open(), servers.open()];
  await one.take('ada');
  await killed.take('ada');
  await killed.take('ada');
  for (let n = 0; n < 2; n += 1) {
    t.equal(await one.take('ada'), undefined);
    servers.passHalfMinute();
    await one.renew();
  }
  t.ok((await one.take('ada')) && (await one.take('ada')));
  t.equal(await one.take('ada'), undefined);
});

t.end();
