import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { MessageSchema } from '../../platform/http/message-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { requireOutbox } from '../../platform/mail/outbox.js';
import { normalizeEmail } from '../email.js';
import { toNetwork } from '../limits/address.js';
import { accountLimit } from '../limits/rate-limits.js';
import type { AccountNotices } from '../notices.js';
import { getPasswords } from '../passwords.js';
import type { SignUp } from '../sign-up/sign-up.js';
import { createOpaqueToken, sha256Hex } from '../tokens/crypto.js';
import { createResetMessage } from './message.js';
import { ForgotPasswordSchema, PasswordResetSchema, ResetPasswordSchema } from './schemas.js';

const FoundResetSchema = Type.Object({ email: Type.Union([Type.String(), Type.Null()]) });
const ResetSchema = Type.Pick(PasswordResetSchema, ['api_keys']);

const ASKED = 'If there is an account with this address, a mail with a link is on its way to it.';
const CHANGED = 'Every device has been logged out. Log in again with your new password.';

interface PasswordResetOptions {
  readonly database: Database;
  readonly signUp: SignUp;
  readonly publicUrl: string;
  readonly notices: AccountNotices;
}

/** Serves a forgotten password: `POST /auth/forgot-password` mails a link, `/auth/reset-password` uses it. */
export const passwordResetRoutes: FastifyPluginAsyncTypebox<PasswordResetOptions> = async (
  app,
  { database, signUp, publicUrl, notices },
) => {
  describeRoutes(app, { tags: ['Accounts'] });
  const onRequest = accountLimit(app);

  app.post(
    '/auth/forgot-password',
    {
      onRequest,
      schema: {
        operationId: 'requestPasswordReset',
        summary: 'Mail a link for setting a new password',
        description:
          'Answers the same in the same time whether or not there is an account. The link is good for 30 minutes and once; a newer one ends it. At most 3 mails in 15 minutes go to one account.',
        body: ForgotPasswordSchema,
        response: { 202: MessageSchema },
      },
    },
    async (request, reply) => {
      const outbox = requireOutbox(app);
      const token = createOpaqueToken();
      const email = normalizeEmail(request.body.email);
      const reset = { p_email: email, p_token_hash: sha256Hex(token) };
      await outbox.post(createResetMessage(publicUrl, token, email), (p_mail) =>
        database.call('request_password_reset', { ...reset, p_mail }, AnyResult),
      );
      return reply.code(202).send({ message: ASKED });
    },
  );

  app.post(
    '/auth/reset-password',
    {
      onRequest,
      schema: {
        operationId: 'resetPassword',
        summary: 'Set a new password with the token of a mailed link',
        description:
          'Ends every session, and with revoke_api_keys every API key; the answer lists those that go on. Following the link proves the address: where nobody had proved it before, API keys, linked providers and devices go as well, as a stranger may have made them; where somebody had, they stay.',
        body: ResetPasswordSchema,
        response: { 200: PasswordResetSchema },
      },
    },
    async (request) => {
      const { token, password, new_password: chosen = password, revoke_api_keys: p_revoke_keys } = request.body;
      if (chosen === undefined) throw new ApiError('VALIDATION_FAILED', { sentence: 'Enter the new password' });
      const p_token_hash = sha256Hex(token);
      const found = await database.call('find_password_reset', { p_token_hash }, FoundResetSchema);
      const p_password_hash = await getPasswords(app).hashNew(chosen, [found.email ?? ''], toNetwork(request));
      const reset = { p_token_hash, p_password_hash, p_default_tokens: signUp.defaultTokens, p_revoke_keys };
      const { api_keys } = await notices.post('new_password', (notice) =>
        database.call('reset_password', { ...reset, ...notice }, ResetSchema),
      );
      return { message: CHANGED, api_keys };
    },
  );
};
