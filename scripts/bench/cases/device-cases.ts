import { asBearer, type LoadRequest } from '../measure/http-load.js';
import type { Stage } from '../stage/stage.js';
import { choose, type RouteCase, toCase } from './route-case.js';

const asDevice = async (
  stage: Stage,
  connections: number,
  toRequest: (device: { id: string; token: string }) => LoadRequest,
) => {
  const requests = (await stage.devices(connections)).map(toRequest);
  return (connection: number) => choose(requests, connection);
};

/** How often the naive server is asked at a time: alone, and as many as keep it busy. */
const NAIVE_CONNECTIONS = [1, 64];
const USE = { model_type: 'gpt-5' };

const debit: RouteCase = {
  name: 'debit',
  question: 'POST /usage/log: one use of a device, recorded and debited',
  prepare: (stage, count) => asDevice(stage, count, ({ token }) => asBearer(token, 'POST', '/api/usage/log', USE)),
  isCalledDirectly: true,
  hasBareRoute: true,
  naive: {
    who: 'device',
    connections: NAIVE_CONNECTIONS,
    toRequest: ({ token }) => asBearer(token, 'POST', '/usage/log', USE),
    hasFloor: true,
  },
};

const check: RouteCase = {
  name: 'check',
  question: 'POST /devices/check-can-use: whether a use is affordable',
  prepare: (stage, count) =>
    asDevice(stage, count, ({ token }) => asBearer(token, 'POST', '/api/devices/check-can-use', USE)),
  isCalledDirectly: true,
  hasBareRoute: true,
  naive: {
    who: 'device',
    connections: NAIVE_CONNECTIONS,
    toRequest: ({ token }) => asBearer(token, 'POST', '/devices/check-can-use', USE),
    hasFloor: false,
  },
};

const balance: RouteCase = {
  name: 'balance',
  question: "GET /devices/:id/tokens: a device's balance",
  prepare: (stage, count) =>
    asDevice(stage, count, ({ id, token }) => asBearer(token, 'GET', `/api/devices/${id}/tokens`)),
  isCalledDirectly: true,
  hasBareRoute: true,
  naive: {
    who: 'device',
    connections: NAIVE_CONNECTIONS,
    toRequest: ({ token }) => asBearer(token, 'GET', '/devices/tokens'),
    hasFloor: false,
  },
};

/** The cases of a device. */
export const DEVICE_CASES = [debit, check, balance].map(toCase);
