import { randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { listDevices, type Registration, registerWith, registrationOf } from '../../helpers/linked-devices.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const admin = await logInAsAdmin(server);

const use = ({ device_id: id, device_token: token }: Registration) =>
  server.as({ id, token }, 'POST', '/api/usage/log', { model_type: 'gpt-5' });

t.test(
  'whoever knows the fingerprint of a linked device gets a device of their own, and none of its tokens',
  async (t) => {
    const [ada, eve] = [await registerUser(server), await registerUser(server)];
    const fingerprint = randomUUID();
    const hers = await registrationOf(server, ada.token, fingerprint);
    await use(hers);
    const strangers = [
      await registerWith(server, undefined, fingerprint),
      await registerWith(server, eve.token, fingerprint),
    ];
    for (const response of strangers) {
      t.equal(response.statusCode, 201);
      const theirs = response.json<Registration>();
      t.not(theirs.device_id, hers.device_id);
      t.match(theirs, { allocation: 50, remaining: 50 });
      t.equal((await use(theirs)).statusCode, 200, 'what they spend is their own');
    }
    t.match(await registrationOf(server, ada.token, fingerprint), {
      device_id: hers.device_id,
      remaining: 49,
      linked: true,
    });
    await server.verifyLedger(t);
  },
);

t.test('the anonymous device of a fingerprint stays one device, with one allocation', async (t) => {
  const ada = await registerUser(server);
  const fingerprint = randomUUID();
  await registrationOf(server, ada.token, fingerprint);
  const first = await registrationOf(server, undefined, fingerprint);
  const again = await registerWith(server, undefined, fingerprint);
  t.equal(again.statusCode, 200);
  t.match(again.json(), { device_id: first.device_id, allocation: 50 });
  const grants = await server.database.sql('select amount from ledger_entries where subject_id = $1', [
    first.device_id,
  ]);
  t.equal(grants.length, 1);
});

t.test('nobody keeps a fingerprint from somebody else by registering it first', async (t) => {
  const [ada, eve] = [await registerUser(server), await registerUser(server)];
  const fingerprint = randomUUID();
  const squatted = [
    await registrationOf(server, eve.token, fingerprint),
    await registrationOf(server, undefined, fingerprint),
  ];
  const response = await registerWith(server, ada.token, fingerprint);
  t.equal(response.statusCode, 201);
  const hers = response.json<Registration>();
  t.match(hers, { linked: true, remaining: 50 });
  t.notOk(squatted.some(({ device_id }) => device_id === hers.device_id));
  await use(hers);
  t.match((await eve.as('GET', '/api/usage')).json(), { usage: [] }, 'and nobody else sees what she does');
  t.strictSame(await listDevices(ada), [hers.device_id]);
});

t.test('an earlier token brings a new one, of a linked device too, until it is rotated', async (t) => {
  const ada = await registerUser(server);
  const fingerprint = randomUUID();
  const hers = await registrationOf(server, ada.token, fingerprint);
  const renewed = await registerWith(server, hers.device_token, fingerprint);
  t.equal(renewed.statusCode, 200);
  t.match(renewed.json(), { device_id: hers.device_id });
  t.equal((await use(renewed.json<Registration>())).statusCode, 200);

  await admin.as('POST', `/api/admin/devices/${hers.device_id}/rotate`);
  t.equal((await use(hers)).statusCode, 401);
  for (const token of [undefined, hers.device_token, renewed.json<Registration>().device_token]) {
    t.not((await registrationOf(server, token, fingerprint)).device_id, hers.device_id, 'a thief is not let in again');
  }
  const back = await registrationOf(server, ada.token, fingerprint);
  t.match(back, { device_id: hers.device_id, linked: true });
  t.equal((await use(back)).statusCode, 200);
});

t.test('the token of one device opens no other, whatever the fingerprint', async (t) => {
  const ada = await registerUser(server);
  const [mine, hers] = [randomUUID(), randomUUID()];
  const own = await registrationOf(server, undefined, mine);
  const other = await registrationOf(server, ada.token, hers);
  t.not((await registrationOf(server, own.device_token, hers)).device_id, other.device_id);
  t.equal((await registrationOf(server, own.device_token, mine)).device_id, own.device_id);
});

t.test('unlinking ends the tokens of a device, and only its owner gets it back', async (t) => {
  const [ada, eve] = [await registerUser(server), await registerUser(server)];
  const fingerprint = randomUUID();
  const hers = await registrationOf(server, ada.token, fingerprint);
  t.equal((await ada.as('DELETE', `/api/users/me/devices/${hers.device_id}`)).statusCode, 200);
  t.equal((await use(hers)).statusCode, 401);
  for (const token of [undefined, hers.device_token, eve.token]) {
    t.not((await registrationOf(server, token, fingerprint)).device_id, hers.device_id);
  }
  const back = await registrationOf(server, ada.token, fingerprint);
  t.match(back, { device_id: hers.device_id, linked: true, allocation: 50 });
  t.equal((await use(back)).statusCode, 200);
  await server.verifyLedger(t);
});

t.test(
  'signing in links the anonymous device whose token is shown, and ends the tokens others may have of it',
  async (t) => {
    const ada = await registerUser(server);
    const fingerprint = randomUUID();
    const anonymous = await registrationOf(server, undefined, fingerprint);
    await use(anonymous);
    const stranger = await registrationOf(server, undefined, fingerprint);
    t.equal(stranger.device_id, anonymous.device_id, 'without a secret the fingerprint is all there is');
    const { device_token } = anonymous;
    const linked = await registerWith(server, ada.token, fingerprint, '/api', { device_token });
    t.equal(linked.statusCode, 200);
    t.match(linked.json(), { device_id: anonymous.device_id, linked: true, remaining: 49 });
    t.equal((await use(stranger)).statusCode, 401);
    t.equal((await use(linked.json<Registration>())).statusCode, 200);
    t.strictSame(await listDevices(ada), [anonymous.device_id]);
    await server.verifyLedger(t);
  },
);

t.test('a token that proves nothing links nothing, and is no error', async (t) => {
  const ada = await registerUser(server);
  const [fingerprint, elsewhere] = [randomUUID(), randomUUID()];
  const anonymous = await registrationOf(server, undefined, fingerprint);
  const other = await registrationOf(server, undefined, elsewhere);
  const stale = anonymous.device_token;
  await admin.as('POST', `/api/admin/devices/${anonymous.device_id}/rotate`);
  const proofs = [stale, other.device_token, ada.token, 'nonsense', `${other.device_token}x`];
  const ids = new Set<string>();
  for (const device_token of proofs)
    ids.add((await registrationOf(server, ada.token, fingerprint, { device_token })).device_id);
  t.equal(ids.size, 1, 'a device of her own, the same each time');
  t.notOk(ids.has(anonymous.device_id) || ids.has(other.device_id));
});

t.test("a device that was another person's can never be linked, in whatever way it is tried", async (t) => {
  const [ada, eve] = [await registerUser(server), await registerUser(server)];
  const fingerprint = randomUUID();
  const hers = await registrationOf(server, ada.token, fingerprint);
  const theirs = await registrationOf(server, eve.token, fingerprint, { device_token: hers.device_token });
  t.not(theirs.device_id, hers.device_id);
  const moved = server.database.sql('update devices set user_id = $2 where id = $1', [hers.device_id, eve.id]);
  await t.rejects(moved, /devices_linked_to_first_user/, 'not even by hand');
});

t.end();
