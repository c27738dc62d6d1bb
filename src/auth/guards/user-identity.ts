/**
 * A person who proved who they are, as SQL functions take it (`p_caller`): with a session, or with an API key. Whether
 * that still is good is asked by each function, in the transaction that acts on it.
 */
export type UserIdentity =
  | { readonly id: string; readonly session_id: string }
  | { readonly id: string; readonly api_key_id: string };
