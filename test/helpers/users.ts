import { randomUUID } from 'node:crypto';

/** A request to a route of a person's own. */
export interface OwnRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly payload?: object;
}

/** Every route about the own account, in an order in which each works; the device ends unlinked, the account deleted. */
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
      payload: { current_password: 'correct horse battery staple', new_password: 'another long password' },
    },
    { method: 'DELETE', url: `${prefix}/users/me` },
  ];
}
