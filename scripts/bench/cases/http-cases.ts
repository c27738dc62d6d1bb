import { asBearer, type LoadRequest } from '../measure/http-load.js';
import type { Stage } from '../stage/stage.js';
import type { Case } from './case.js';
import {
  joinContestants,
  openDirect,
  openHttpContestants,
  openNaiveContestants,
  openNoDatabase,
  type ToRequest,
} from './contestants.js';

/** Connections beyond that share accounts: making one takes as long as hashing a password. */
const MOST_ACCOUNTS = 16;
/** How many requests are made at a time: alone, a busy server, a crowd. */
const CONNECTIONS = [1, 64, 256];
/** How often the naive server is asked at a time: alone, and as many as keep it busy. */
const NAIVE_CONNECTIONS = [1, 64];

/** A case of one route of the server. */
interface RouteCase {
  readonly name: string;
  readonly question: string;
  /** How many requests at a time make sense, where it is not the usual. */
  readonly connections?: readonly number[];
  /** Makes what the requests need, and builds them. */
  readonly prepare: (stage: Stage, connections: number) => Promise<ToRequest>;
  /** Whether the function is called directly, too. */
  readonly isCalledDirectly: boolean;
  /** The same for the naive server, where it has it. */
  readonly naive?: { readonly toRequest: (token: string) => LoadRequest; readonly hasFloor: boolean };
}

function toCase({ name, question, prepare, isCalledDirectly, naive, connections: ownConnections }: RouteCase): Case {
  return {
    name,
    question,
    compares: 'rate',
    warmsUp: true,
    open: async (stage, settings) => {
      const connections = settings.connections ?? ownConnections ?? CONNECTIONS;
      const toRequest = await prepare(stage, Math.max(...connections, 8));
      const opened = [
        openHttpContestants(stage, { name, origin: stage.server.url, connections, toRequest }),
        openNoDatabase(stage, connections),
        ...(isCalledDirectly ? [await openDirect(stage, toRequest)] : []),
        ...(naive ? [await openNaiveContestants(stage, NAIVE_CONNECTIONS, naive.toRequest, naive.hasFloor)] : []),
      ];
      return joinContestants(opened);
    },
  };
}

/** Returns the member of a list that a connection acts as. */
const choose = <T>(list: readonly T[], connection: number): T => {
  const chosen = list[connection % list.length];
  if (chosen === undefined) throw new Error('nobody is there');
  return chosen;
};

const asDevice = async (
  stage: Stage,
  connections: number,
  toRequest: (device: { id: string; token: string }) => LoadRequest,
) => {
  const requests = (await stage.devices(connections)).map(toRequest);
  return (connection: number) => choose(requests, connection);
};

const asAccount = async (
  stage: Stage,
  connections: number,
  toRequest: (account: { token: string; trackerToken: string }, unique: string) => LoadRequest,
): Promise<ToRequest> => {
  const accounts = await stage.accounts(Math.min(connections, MOST_ACCOUNTS));
  return (connection, unique) => toRequest(choose(accounts, connection), unique);
};

const USE = { model_type: 'gpt-5' };

const debit: RouteCase = {
  name: 'debit',
  question: 'POST /usage/log: one use of a device, recorded and debited',
  prepare: (stage, count) => asDevice(stage, count, ({ token }) => asBearer(token, 'POST', '/api/usage/log', USE)),
  isCalledDirectly: true,
  naive: { toRequest: (token) => asBearer(token, 'POST', '/usage/log', USE), hasFloor: true },
};

const check: RouteCase = {
  name: 'check',
  question: 'POST /devices/check-can-use: whether a use is affordable',
  prepare: (stage, count) =>
    asDevice(stage, count, ({ token }) => asBearer(token, 'POST', '/api/devices/check-can-use', USE)),
  isCalledDirectly: true,
  naive: { toRequest: (token) => asBearer(token, 'POST', '/devices/check-can-use', USE), hasFloor: false },
};

const balance: RouteCase = {
  name: 'balance',
  question: "GET /devices/:id/tokens: a device's balance",
  prepare: (stage, count) =>
    asDevice(stage, count, ({ id, token }) => asBearer(token, 'GET', `/api/devices/${id}/tokens`)),
  isCalledDirectly: true,
  naive: { toRequest: (token) => asBearer(token, 'GET', '/devices/tokens'), hasFloor: false },
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

const login: RouteCase = {
  name: 'login',
  question: 'POST /auth/login: a password checked, a session opened (two hashes at a time)',
  connections: [1, 16],
  prepare: async (stage, count) => {
    const accounts = await stage.accounts(Math.min(count, MOST_ACCOUNTS));
    return (connection) => {
      const { email, password } = choose(accounts, connection);
      const headers = { 'content-type': 'application/json' };
      return { method: 'POST', path: '/api/auth/login', headers, body: JSON.stringify({ email, password }) };
    };
  },
  isCalledDirectly: false,
};

const summary: RouteCase = {
  name: 'summary',
  question: 'GET /usage/summary: the last 30 days of an account, by day and model',
  connections: [1, 16],
  prepare: (stage, count) =>
    asAccount(stage, count, ({ token }) => asBearer(token, 'GET', '/api/usage/summary?group_by=day,model')),
  isCalledDirectly: false,
};

const settings: RouteCase = {
  name: 'settings',
  question: 'POST /settings/sync/push: one changed setting, merged',
  connections: [1, 16],
  prepare: (stage, count) =>
    asAccount(stage, count, ({ token }, unique) => {
      const theme = { value: unique, updated_at: Date.now() };
      return asBearer(token, 'POST', '/api/sync/push', { base_version: 0, changes: { theme } });
    }),
  isCalledDirectly: false,
};

/** The cases of one route each. */
export const HTTP_CASES: readonly Case[] = [debit, check, balance, usage, track, login, summary, settings].map(toCase);
