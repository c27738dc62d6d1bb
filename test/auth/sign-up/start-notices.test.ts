import { listSignUpNotices } from '../../../src/auth/sign-up/start-notices.js';
import { parseConfig } from '../../../src/config/config.js';
import t from '../../helpers/run/tap.js';

const CHAT = { OPENROUTER_API_KEY: 'sk-or-test' };
const PAYMENTS = { STRIPE_SECRET_KEY: 'sk_test_1', STRIPE_WEBHOOK_SECRET: 'whsec_1' };
const MAIL = { SMTP_URL: 'smtp://127.0.0.1', FROM_EMAIL: 'a@b.example', PUBLIC_URL: 'https://b.example' };

const mode = (variables: Record<string, string>) => parseConfig(variables).signUp.mode;
const notices = (variables: Record<string, string>, embedded = false) =>
  listSignUpNotices(parseConfig(variables), embedded);

t.test('the door is open unless what tokens pay for is set up, or SIGNUP says something else', async (t) => {
  t.equal(mode({}), 'open');
  t.equal(mode(CHAT), 'verified');
  t.equal(mode(PAYMENTS), 'verified');
  for (const SIGNUP of ['open', 'verified', 'invite', 'closed']) t.equal(mode({ ...CHAT, SIGNUP }), SIGNUP);
  t.throws(() => mode({ SIGNUP: 'ajar' }), /SIGNUP is not valid/);
});

t.test('an open door with chat or payments on says in one line what that means', async (t) => {
  for (const feature of [CHAT, PAYMENTS]) {
    const [notice = '', ...others] = notices({ ...feature, SIGNUP: 'open', DEFAULT_USER_TOKENS: '250000' });
    t.strictSame(others, []);
    t.match(notice, /SIGNUP=open.*250,000 tokens.*SIGNUP=verified/);
    t.notMatch(notice, '\n');
  }
  t.strictSame(notices({ ...CHAT, SIGNUP: 'open', DEFAULT_USER_TOKENS: '0' }), []);
  t.strictSame(notices({ SIGNUP: 'open' }), []);
});

t.test('a door that needs mail says when there is none', async (t) => {
  t.match(notices(CHAT), [/without a mail server.*admin verifies them/]);
  t.match(notices(CHAT, true), [/printed to this log/]);
  t.strictSame(notices({ ...CHAT, ...MAIL }), []);
  t.strictSame(notices({ ...CHAT, SIGNUP: 'closed' }), []);
});

t.end();
