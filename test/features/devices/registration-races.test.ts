import { randomBytes, randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { type Registration, registerWith } from '../../helpers/linked-devices.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const people = await Promise.all(Array.from({ length: 3 }, () => registerUser(server)));

t.test(
  '50 parallel registrations of one fingerprint make one device for each owner, with one allocation each',
  async (t) => {
    const fingerprint = randomUUID();
    const device_secret = randomBytes(32).toString('base64url');
    const senders = [
      ...people.map(({ token }) => ({ token, proof: {} })),
      { token: undefined, proof: {} },
      { token: undefined, proof: { device_secret } },
    ];
    const sent = Array.from({ length: 50 }, (_, n) => n % senders.length);
    const answers = await meetAtLock(server.database, insertionLock('devices', 4), () =>
      Promise.all(sent.map((n) => registerWith(server, senders[n]?.token, fingerprint, '/api', senders[n]?.proof))),
    );
    for (const [n, { token }] of senders.entries()) {
      const own = answers.filter((_, index) => sent[index] === n);
      t.equal(own.filter(({ statusCode }) => statusCode === 201).length, 1, 'one was the first');
      t.equal(own.filter(({ statusCode }) => statusCode === 200).length, 9);
      t.equal(new Set(own.map((answer) => answer.json<Registration>().device_id)).size, 1);
      t.ok(own.every((answer) => answer.json<Registration>().linked === (token === undefined ? undefined : true)));
    }
    const devices = new Set(answers.map((answer) => answer.json<Registration>().device_id));
    t.equal(devices.size, senders.length);
    const grants = await server.database.sql('select from ledger_entries where subject_id = any ($1)', [[...devices]]);
    t.equal(grants.length, senders.length);
    await server.verifyLedger(t);
  },
);

t.test('of two people who show the token of one anonymous device at once, one gets it', async (t) => {
  const fingerprint = randomUUID();
  const { device_id, device_token } = (await registerWith(server, undefined, fingerprint)).json<Registration>();
  const lock = { statement: 'select from devices where id = $1 for update', values: [device_id], waiting: 3 };
  const answers = await meetAtLock(server.database, lock, () =>
    Promise.all(people.map(({ token }) => registerWith(server, token, fingerprint, '/api', { device_token }))),
  );
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [200, 201, 201]);
  t.equal(answers.filter((answer) => answer.json<Registration>().device_id === device_id).length, 1);
  await server.verifyLedger(t);
});

t.end();
