import { createHmac } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { sha256Hex } from '../tokens/crypto.js';
import type { ProviderName } from './external-identity.js';

/** The secrets that identify one sign-in and bind its answers to it. */
export interface FlowSecrets {
  /** Goes to the provider and comes back through the browser. */
  readonly state: string;
  /** PKCE (RFC 7636): binds the provider's code to this sign-in. */
  readonly codeVerifier: string;
  /** Binds the provider's ID token to this sign-in. */
  readonly nonce: string;
}

const NullableText = Type.Union([Type.String(), Type.Null()]);
const FlowSchema = Type.Object({
  redirect_uri: NullableText,
  client_state: NullableText,
  code_challenge: NullableText,
});

/** What the client that began a sign-in asked for; all null where a browser came without a client. */
export type Flow = Static<typeof FlowSchema>;

/**
 * Derives the secrets of the sign-in with this state. They follow from it and the key, so that no server needs to keep
 * them and any of them can go on.
 */
export function deriveFlowSecrets(key: Buffer, state: string): FlowSecrets {
  const derive = (purpose: string) => createHmac('sha256', key).update(`${purpose} ${state}`).digest('base64url');
  return { state, codeVerifier: derive('code verifier'), nonce: derive('nonce') };
}

/** Remembers a sign-in until the provider answers, 10 minutes at most. */
export async function beginFlow(
  database: Database,
  provider: ProviderName,
  state: string,
  { redirect_uri, client_state, code_challenge }: Flow,
): Promise<void> {
  const flow = {
    p_state_hash: sha256Hex(state),
    p_provider: provider,
    ...(redirect_uri !== null && { p_redirect_uri: redirect_uri }),
    ...(client_state !== null && { p_client_state: client_state }),
    ...(code_challenge !== null && { p_code_challenge: code_challenge }),
  };
  await database.call('begin_oauth_flow', flow, AnyResult);
}

/**
 * Ends the sign-in a provider answers; there is no second answer.
 * @throws {ApiError} INVALID_GRANT where none is open with this state at this provider
 */
export async function consumeFlow(database: Database, provider: ProviderName, state: string): Promise<Flow> {
  const flow = { p_state_hash: sha256Hex(state), p_provider: provider };
  return await database.call('consume_oauth_flow', flow, FlowSchema);
}
