import { randomBytes } from 'node:crypto';
import { findFlaws, listEndpoints, PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { forge, forgeAll, without } from '../../helpers/http/forged-tokens.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const device = await server.registerDevice();
const secret = server.backend.jwtSecret;

const now = Math.floor(Date.now() / 1000);
const CLAIMS = { aud: 'device', sub: device.id, ver: 1, iss: 'tokenledger', iat: now, exp: now + 3600 };
const HS256 = { alg: 'HS256' };
const genuine = forge(HS256, CLAIMS, secret);
const changed = (changes: object) => forge(HS256, { ...CLAIMS, ...changes }, secret);

const databaseClaims = { role: 'authenticated', sub: device.id, device_id: device.id, iat: now, exp: now + 300 };
const FORGED: Readonly<Record<string, string>> = {
  ...forgeAll(CLAIMS, secret),
  'the audience user': changed({ aud: 'user' }),
  'the audience tracker': changed({ aud: 'tracker' }),
  'the audience admin': changed({ aud: 'admin' }),
  'no version': forge(HS256, without(CLAIMS, 'ver'), secret),
  'the version 0': changed({ ver: 0 }),
  'a version ahead': changed({ ver: 2 }),
  'a version beyond an integer': changed({ ver: 2 ** 40 }),
  'a version that is text': changed({ ver: '1' }),
  "a database token's claims and another key": forge(HS256, databaseClaims, randomBytes(32)),
  "a database token's claims and the right key": forge(HS256, databaseClaims, secret),
};

function answersTo(token: string) {
  const endpoints = listEndpoints(device).filter(({ guarded }) => guarded);
  const calls = PREFIXES.flatMap((prefix) =>
    endpoints.map(({ method, path, body }) => server.as({ ...device, token }, method, `${prefix}${path}`, body)),
  );
  return Promise.all(calls);
}

t.test('a token made by hand exactly as the server makes them is accepted', async (t) => {
  const answers = await answersTo(genuine);
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    Array.from({ length: 12 }, () => 200),
  );
  await server.verifyLedger(t);
});

for (const [title, token] of Object.entries(FORGED)) {
  t.test(`a token with ${title} is refused with 401 on every route, and nothing changes`, async (t) => {
    const before = await readChecksums(server.database);
    for (const answer of await answersTo(token)) {
      t.equal(answer.statusCode, 401);
      t.match(answer.json(), { code: 'INVALID_TOKEN' });
      t.strictSame(findFlaws(answer, title), []);
    }
    t.strictSame(await readChecksums(server.database), before);
  });
}

t.test('a token is refused once it is over, however often it was accepted before', async (t) => {
  const brief = server.app.jwt.sign({ aud: 'device', sub: device.id, ver: 1 }, { expiresIn: '3s' });
  const balance = () => server.as({ ...device, token: brief }, 'GET', `/api/devices/${device.id}/tokens`);
  t.equal((await balance()).statusCode, 200);
  let status = 200;
  while (status === 200) status = (await balance()).statusCode;
  t.equal(status, 401);
});

t.end();
