import { randomUUID } from 'node:crypto';
import { USUAL_PASSWORD } from './light-passwords.js';

/** A request to a route about one's own account. */
export interface OwnRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly payload?: object;
}

/** Returns every route about one's own account, in an order in which each works; the account ends up deleted. */
export function ownRoutes(device: string = randomUUID(), prefix = '/api'): readonly OwnRoute[] {
  return [
    { method: 'GET', url: `${prefix}/users/me` },
    { method: 'PUT', url: `${prefix}/users/me`, payload: { name: 'Ada' } },
    { method: 'GET', url: `${prefix}/users/me/balance` },
    { method: 'GET', url: `${prefix}/users/me/ledger` },
    { method: 'GET', url: `${prefix}/users/me/devices` },
    { method: 'GET', url: `${prefix}/users/me/export` },
    { method: 'DELETE', url: `${prefix}/users/me/devices/${device}` },
    {
      method: 'POST',
      url: `${prefix}/users/me/password`,
      payload: { current_password: USUAL_PASSWORD, new_password: 'another long password' },
    },
    { method: 'DELETE', url: `${prefix}/users/me` },
  ];
}
