import { registerUser } from '../../helpers/accounts.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import {
  createBadBodies,
  declaredStatuses,
  describeBody,
  type Endpoint,
  findFlaws,
  readChecksums,
} from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment, mailedToken, NEW_PASSWORD } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';

const smtp = await openSmtpServer(t);
const server = await openTestServer(t, { environment: mailEnvironment(smtp) });
const user = await registerUser(server);
const token = await mailedToken(server.app, smtp, user.email);

const ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'POST',
    path: '/auth/forgot-password',
    documented: '/api/auth/forgot-password',
    guarded: false,
    body: { email: user.email },
    fields: { email: 'text' },
    ignoresUnknown: true,
  },
  {
    method: 'POST',
    path: '/auth/reset-password',
    documented: '/api/auth/reset-password',
    guarded: false,
    body: { token, new_password: NEW_PASSWORD },
    fields: { token: 'text', new_password: 'text', password: 'nullable text' },
    ignoresUnknown: true,
  },
];

t.test('every bad body is refused with a status the route declares, and changes nothing', async (t) => {
  const before = await readChecksums(server.database);
  for (const endpoint of ENDPOINTS) {
    const declared = await declaredStatuses(server, endpoint);
    const flaws: string[] = [];
    for (const payload of createBadBodies(endpoint)) {
      const headers = { 'content-type': 'application/json' };
      const answer = await server.app.inject({ method: 'POST', url: `/api${endpoint.path}`, headers, payload });
      flaws.push(...findFlaws(answer, describeBody(payload), declared));
    }
    t.strictSame(flaws, [], endpoint.path);
  }
  t.strictSame(await readChecksums(server.database), before);
});

t.test('addresses that are none are refused', async (t) => {
  const addresses = ['a', '@', 'a@', '@b', 'a b@c.example', 'a@b@c', 'a@b.example\r\nBcc: c@d.example', ' '];
  for (const email of addresses) {
    const answer = await server.app.inject({ method: 'POST', url: '/auth/forgot-password', payload: { email } });
    t.equal(answer.statusCode, 400, JSON.stringify(email));
  }
  t.equal(smtp.mails.length, 1);
});

t.test('the corpus is made of bodies that are accepted but for one thing', async (t) => {
  for (const { path, body } of [...ENDPOINTS].reverse()) {
    const answer = await server.app.inject({ method: 'POST', url: `/api${path}`, payload: body ?? {} });
    t.match(String(answer.statusCode), /^20[02]$/, path);
  }
  await server.verifyLedger(t);
});

t.end();
