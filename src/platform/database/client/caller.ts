/**
 * A person who proved who they are, as SQL functions take it (`p_caller`): with a session, or with an API key. Whether
 * that credential is still good is decided by each function, in the transaction that acts on it.
 */
export type Caller =
  | { readonly id: string; readonly session_id: string }
  | { readonly id: string; readonly api_key_id: string };

/** A device that proved itself with a token of this version; the policies decide whether that is still the current one. */
export interface DeviceCaller {
  readonly device_id: string;
  readonly token_version: number;
}
