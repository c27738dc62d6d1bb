import { asBearer, type LoadRequest } from '../measure/http-load.js';
import type { Stage } from '../stage/stage.js';
import type { ToRequest } from './contestants.js';
import { openHashing } from './hashing.js';
import { choose, type RouteCase, toCase } from './route-case.js';

/** Connections beyond that share accounts: making one takes as long as hashing a password. */
const MOST_ACCOUNTS = 16;
/** How many requests of these are made at a time: alone, and a few. */
const CONNECTIONS = [1, 16];
/** Uses of each account that are summed up. */
const USES = 300;
const DAY_MS = 86_400_000;

const asAccount = async (
  stage: Stage,
  connections: number,
  toRequest: (account: { token: string; trackerToken: string }, unique: string) => LoadRequest,
): Promise<ToRequest> => {
  const accounts = await stage.accounts(Math.min(connections, MOST_ACCOUNTS));
  return (connection, unique) => toRequest(choose(accounts, connection), unique);
};

const usage: RouteCase = {
  name: 'usage',
  question: 'POST /usage: one observed use of an account, recorded once',
  prepare: (stage, count) =>
    asAccount(stage, count, ({ token }, unique) =>
      asBearer(token, 'POST', '/api/usage', {
        provider: 'chatgpt',
        model: 'gpt-5',
        inputTokens: 120,
        outputTokens: 480,
        timestamp: Date.now(),
        url: `https://chatgpt.com/c/${unique}`,
      }),
    ),
  isCalledDirectly: true,
};

const track: RouteCase = {
  name: 'track',
  question: 'POST /trackUsage: counters of an account',
  prepare: (stage, count) =>
    asAccount(stage, count, ({ trackerToken }) =>
      asBearer(trackerToken, 'POST', '/api/trackUsage', { usage: 1, tokenCount: 20 }),
    ),
  isCalledDirectly: true,
};

const toLogin = (email: string, password: string, path: string): LoadRequest => ({
  method: 'POST',
  path,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ email, password }),
});

const login: RouteCase = {
  name: 'login',
  question: 'POST /auth/login: a password checked, a session opened (two hashes at a time)',
  connections: CONNECTIONS,
  prepare: async (stage, count) => {
    const accounts = await stage.accounts(Math.min(count, MOST_ACCOUNTS));
    return (connection) => {
      const { email, password } = choose(accounts, connection);
      return toLogin(email, password, '/api/auth/login');
    };
  },
  // Its function opens a session, which the same call does once only.
  isCalledDirectly: false,
  naive: {
    who: 'account',
    connections: CONNECTIONS,
    toRequest: ({ id, password }) => toLogin(`${id}@example.com`, password, '/auth/login'),
  },
  openFloor: openHashing,
};

const SUMMARY = '/api/usage/summary?group_by=day,model';

const toUse = (number: number) => ({
  provider: 'chatgpt',
  model: `model-${number % 5}`,
  inputTokens: 120,
  outputTokens: 480,
  timestamp: Date.now() - ((number % 30) * DAY_MS) / 1.1,
  url: `https://chatgpt.com/c/${number}`,
});

const summary: RouteCase = {
  name: 'summary',
  question: 'GET /usage/summary: the last 30 days of an account, by day and model',
  connections: CONNECTIONS,
  prepare: async (stage, count) => {
    const events = Array.from({ length: USES }, (_, number) => toUse(number));
    for (const { token } of await stage.accounts(Math.min(count, MOST_ACCOUNTS))) {
      await stage.send('/usage', token, { events });
    }
    return asAccount(stage, count, ({ token }) => asBearer(token, 'GET', SUMMARY));
  },
  isCalledDirectly: true,
  naive: {
    who: 'account',
    connections: CONNECTIONS,
    toRequest: ({ token }) => asBearer(token, 'GET', '/usage/summary'),
  },
};

const settings: RouteCase = {
  name: 'settings',
  question: 'POST /settings/sync/push: one changed setting, merged',
  connections: CONNECTIONS,
  prepare: (stage, count) =>
    asAccount(stage, count, ({ token }, unique) => {
      const theme = { value: unique, updated_at: Date.now() };
      return asBearer(token, 'POST', '/api/sync/push', { base_version: 0, changes: { theme } });
    }),
  isCalledDirectly: true,
  naive: {
    who: 'account',
    connections: CONNECTIONS,
    toRequest: ({ token }, unique) => asBearer(token, 'POST', '/sync/push', { changes: { theme: unique } }),
  },
};

/** The cases of an account. */
export const ACCOUNT_CASES = [usage, track, login, summary, settings].map(toCase);
