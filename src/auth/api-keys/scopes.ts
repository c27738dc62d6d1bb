import { type Static, Type } from '@sinclair/typebox';

/** Lists what an API key may open; `account` opens everything. */
export const API_KEY_SCOPES = ['usage:write', 'usage:read', 'chat', 'settings', 'account'] as const;

export const ApiKeyScopeSchema = Type.Union(
  API_KEY_SCOPES.map((scope) => Type.Literal(scope)),
  { description: 'usage:write, usage:read, chat, settings, or account, which opens everything.' },
);
export type ApiKeyScope = Static<typeof ApiKeyScopeSchema>;

/** What a key opens whose maker did not say. */
export const DEFAULT_SCOPES: readonly ApiKeyScope[] = ['usage:write', 'usage:read', 'chat', 'settings'];

/** Returns whether a key with these scopes opens what needs one; nothing opens what declares none. */
export function opens(scopes: readonly ApiKeyScope[], needed: ApiKeyScope | undefined): boolean {
  return needed !== undefined && (scopes.includes(needed) || scopes.includes('account'));
}
