import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { listDevices, registerWith, registrationOf } from '../../helpers/linked-devices.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const createSecret = () => randomBytes(32).toString('base64url');

t.test('a device registered with a secret is given out to that secret only', async (t) => {
  const fingerprint = randomUUID();
  const device_secret = createSecret();
  const first = await registerWith(server, undefined, fingerprint, '/api', { device_secret });
  t.equal(first.statusCode, 201);
  const { device_id } = first.json<{ device_id: string }>();
  const again = await registerWith(server, undefined, fingerprint, '/api', { device_secret });
  t.equal(again.statusCode, 200);
  t.match(again.json(), { device_id, allocation: 50 });

  const before = await readChecksums(server.database);
  const wrong = await registerWith(server, undefined, fingerprint, '/api', { device_secret: createSecret() });
  t.equal(wrong.statusCode, 403);
  t.match(wrong.json(), { code: 'DEVICE_SECRET_INVALID' });
  t.strictSame(await readChecksums(server.database), before);
  await server.verifyLedger(t);
});

t.test('a client without a secret is not shut out by one who took its fingerprint with a secret', async (t) => {
  const fingerprint = randomUUID();
  const squatter = await registrationOf(server, undefined, fingerprint, { device_secret: createSecret() });
  const plain = await registerWith(server, undefined, fingerprint);
  t.equal(plain.statusCode, 201);
  t.not(plain.json<{ device_id: string }>().device_id, squatter.device_id);
  t.equal((await registerWith(server, undefined, fingerprint)).statusCode, 200);
  const ada = await registerUser(server);
  const proof = { device_secret: createSecret() };
  t.match(await registrationOf(server, ada.token, fingerprint, proof), { linked: true, remaining: 50 });
});

t.test('the secret links the anonymous device at the first sign-in, and brings a linked one back', async (t) => {
  const ada = await registerUser(server);
  const fingerprint = randomUUID();
  const device_secret = createSecret();
  const { device_id } = await registrationOf(server, undefined, fingerprint, { device_secret });
  t.match(await registrationOf(server, ada.token, fingerprint, { device_secret }), { device_id, linked: true });
  t.strictSame(await listDevices(ada), [device_id]);
  t.match(await registrationOf(server, undefined, fingerprint, { device_secret }), { device_id });
  t.not((await registrationOf(server, undefined, fingerprint)).device_id, device_id);
});

t.test("the owner's sign-in sets a new secret where theirs was lost; an old token does not", async (t) => {
  const ada = await registerUser(server);
  const fingerprint = randomUUID();
  const [lost, fresh, planted] = [createSecret(), createSecret(), createSecret()];
  const first = await registrationOf(server, ada.token, fingerprint, { device_secret: lost });
  const { device_id } = await registrationOf(server, first.device_token, fingerprint, { device_secret: planted });
  t.equal(device_id, first.device_id, 'the token opens it');
  t.not((await registrationOf(server, undefined, fingerprint, { device_secret: planted })).device_id, device_id);
  await registrationOf(server, ada.token, fingerprint, { device_secret: fresh });
  t.match(await registrationOf(server, undefined, fingerprint, { device_secret: fresh }), { device_id });
  const old = await registerWith(server, undefined, fingerprint, '/api', { device_secret: lost });
  t.equal(old.statusCode, 403);
});

t.test('rotating or unlinking a linked device ends its secret; an anonymous one keeps it', async (t) => {
  const [ada, admin] = [await registerUser(server), await logInAsAdmin(server)];
  for (const end of ['rotate', 'unlink'] as const) {
    const fingerprint = randomUUID();
    const device_secret = createSecret();
    const { device_id } = await registrationOf(server, ada.token, fingerprint, { device_secret });
    if (end === 'rotate') await admin.as('POST', `/api/admin/devices/${device_id}/rotate`);
    else await ada.as('DELETE', `/api/users/me/devices/${device_id}`);
    t.not((await registrationOf(server, undefined, fingerprint, { device_secret })).device_id, device_id, end);
    t.match(await registrationOf(server, ada.token, fingerprint), { device_id });
  }
  const fingerprint = randomUUID();
  const device_secret = createSecret();
  const { device_id } = await registrationOf(server, undefined, fingerprint, { device_secret });
  await admin.as('POST', `/api/admin/devices/${device_id}/rotate`);
  t.match(await registrationOf(server, undefined, fingerprint, { device_secret }), { device_id });
});

t.test('a blocked device is refused to whoever proves that it is theirs', async (t) => {
  const ada = await registerUser(server);
  const fingerprint = randomUUID();
  const device_secret = createSecret();
  const { device_id, device_token } = await registrationOf(server, undefined, fingerprint, { device_secret });
  await server.database.sql('update devices set blocked = true where id = $1', [device_id]);
  const before = await readChecksums(server.database);
  for (const [token, proof] of [
    [undefined, { device_secret }],
    [ada.token, { device_secret }],
    [ada.token, { device_token }],
    [device_token, {}],
  ] as const) {
    const refused = await registerWith(server, token, fingerprint, '/api', proof);
    t.equal(refused.statusCode, 403);
    t.match(refused.json(), { code: 'DEVICE_BLOCKED' });
  }
  t.strictSame(await readChecksums(server.database), before);
});

t.test('only a hash of the secret is kept, and a short one is refused', async (t) => {
  const device_secret = createSecret();
  const { device_id } = await registrationOf(server, undefined, randomUUID(), { device_secret });
  const [row] = await server.database.sql(`select encode(secret_hash, 'hex') as hash from devices where id = $1`, [
    device_id,
  ]);
  t.equal(row?.['hash'], createHash('sha256').update(device_secret).digest('hex'));
  const short = await registerWith(server, undefined, randomUUID(), '/api', { device_secret: 'too-short' });
  t.equal(short.statusCode, 400);
});

t.end();
