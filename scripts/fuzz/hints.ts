import type { Operation } from './operations.js';

/** Values that are right for a field; none where the field is better left out. */
export type Hints = (field: string) => readonly unknown[] | undefined;

const NEVER: readonly unknown[] = [];

/** What is right for fields of a name, wherever they are. */
const BY_FIELD: Readonly<Record<string, readonly unknown[]>> = {
  email: ['__email__'],
  password: ['__password__'],
  current_password: ['__password__'],
  new_password: ['__fresh_password__'],
  refresh_token: ['__refresh_token__'],
  username: ['__admin_name__'],
  device_id: ['__device__'],
  user_id: ['__user__'],
  from_device_id: NEVER,
  from_user_id: NEVER,
  device: ['__device__'],
  device_name: ['Laptop'],
  hardware_fingerprint: ['__fresh_id__'],
  device_token: ['__device_token__'],
  device_secret: NEVER,
  enrollment_key: NEVER,
  invitation: NEVER,
  access_token: NEVER,
  reservation_id: NEVER,
  expires_at: NEVER,
  event_id: ['__fresh_id__'],
  timestamp: NEVER,
  url: ['https://example.com/page'],
  picture: ['https://example.com/picture.png'],
  cursor: NEVER,
  from: ['__ten_days_ago__'],
  to: ['__today__'],
  tz: ['UTC', 'Europe/Berlin'],
  model: ['fuzz'],
  model_type: ['gpt-5', 'claude-opus-4.5'],
  messages: [[{ role: 'user', content: 'Hello' }]],
  input: ['Hello'],
  max_tokens: [16],
  max_output_tokens: [16],
  checkout_id: ['cs_test_fuzz1234567890'],
  code: NEVER,
  totp: ['__totp__'],
  challenge: ['__challenge__'],
  token: ['__mail_token__'],
  redirect_uri: ['https://app.example.com/signed-in'],
  code_challenge: ['E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'],
  code_challenge_method: ['S256'],
  base_version: [0],
  version: [1],
  number: [1],
  provider: ['claude', 'openai'],
  totalTokens: NEVER,
};

/** What is right for fields of an operation. */
const BY_OPERATION: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
  registerUser: { email: ['__fresh_email__'] },
  createUser: { email: ['__fresh_email__'], password: ['__fresh_password__'] },
  createInvitation: { email: ['__fresh_email__'] },
  updateMe: { email: NEVER },
  allocateTokens: { user_id: NEVER, tokens: [5] },
  resetPassword: { password: ['__fresh_password__'] },
  createAdmin: { username: ['__fresh_name__'], password: ['__fresh_password__'] },
  updateAdmin: { password: ['__fresh_password__'], id: ['__other_admin__'] },
  deleteAdmin: { id: ['__other_admin__'] },
  logIn: { totp: NEVER },
  signInWithGoogleToken: { totp: NEVER },
  reauthenticate: { totp: NEVER },
  logInAdmin: { password: ['__admin_password__'], totp: NEVER },
  changeAdminPassword: { current_password: ['__admin_password__'] },
  beginSecondFactor: { current_password: ['__admin_password__'] },
  removeUserSecondFactor: { id: ['__user__'] },
  removeSecondFactor: { current_password: ['__admin_password__'] },
  replaceMySettings: { version: NEVER, last_synced_at: NEVER },
  replaceSettings: { version: NEVER, last_synced_at: NEVER },
  beginOauthSignIn: { provider: ['github'] },
  getModel: { id: ['fuzz'] },
  endSession: { id: ['__session__'] },
  deleteApiKey: { id: ['__key__'] },
  deleteUsage: { id: ['__event__'] },
  endAdminSession: { id: ['__admin_session__'] },
  deleteInvitation: { id: ['__invitation__'] },
  endUserSession: { session_id: ['__session__'] },
  deleteUserApiKey: { key_id: ['__key__'] },
  undoEntry: { id: ['__entry__'] },
  getBulkChange: { id: ['__bulk_change__'] },
  stopBulkChange: { id: ['__bulk_change__'] },
  continueBulkChange: { id: ['__bulk_change__'] },
  runBulkChange: { id: ['__bulk_change__'] },
  pauseBulkChange: { id: ['__bulk_change__'] },
};

/** Chat takes many fields that few models know: a request that is right has hardly more than it needs. */
const CHAT = /\/(v1|chat)\//;
const CHAT_FIELDS = ['model', 'messages', 'input', 'max_tokens', 'max_output_tokens', 'stream', 'temperature'];

/** Returns what is right for the fields of an operation. */
export function findHints({ operationId, path }: Operation): Hints {
  const own = BY_OPERATION[operationId] ?? {};
  const isChat = CHAT.test(path);
  return (field) => {
    const hint = own[field] ?? BY_FIELD[field];
    if (hint !== undefined && !(isChat && field === 'provider')) return hint;
    if (field === 'id') return [path.includes('/devices/{id}') ? '__device__' : '__user__'];
    return isChat && !CHAT_FIELDS.includes(field) ? NEVER : undefined;
  };
}
