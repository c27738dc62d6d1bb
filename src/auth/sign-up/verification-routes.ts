import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { MessageSchema } from '../../platform/http/message-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { requireOutbox } from '../../platform/mail/outbox.js';
import { normalizeEmail } from '../email.js';
import { accountLimit } from '../limits/rate-limits.js';
import { createOpaqueToken, sha256Hex } from '../tokens/crypto.js';
import { createVerificationMessage } from './messages.js';
import { ResendVerificationSchema, VerifiedEmailSchema, VerifyEmailSchema } from './schemas.js';
import type { SignUp } from './sign-up.js';

const VerifiedSchema = Type.Object({ email: Type.String(), changed: Type.Boolean() });

const VERIFIED = 'Your e-mail address is verified.';
const CHANGED = 'Your account has its new e-mail address. Log in with it from now on.';
const ASKED = 'If an account waits for this address to be verified, a mail with a link is on its way to it.';

interface VerificationRoutesOptions {
  readonly database: Database;
  readonly signUp: SignUp;
  readonly publicUrl: string;
}

/** Serves mailed links that prove an address: `POST /auth/verify-email` uses one, `/auth/verify-email/resend` mails another. */
export const verificationRoutes: FastifyPluginAsyncTypebox<VerificationRoutesOptions> = async (
  app,
  { database, signUp, publicUrl },
) => {
  describeRoutes(app, { tags: ['Accounts'] });
  const onRequest = accountLimit(app);

  app.post(
    '/auth/verify-email',
    {
      onRequest,
      schema: {
        operationId: 'verifyEmail',
        summary: 'Verify an e-mail address with the token of a mailed link',
        description:
          'Marks the address as proved, or makes it the address of the account that asked for a new one. The tokens an account starts with are paid then, once per address.',
        body: VerifyEmailSchema,
        response: { 200: VerifiedEmailSchema, ...errors(409) },
      },
    },
    async (request) => {
      const link = { p_token_hash: sha256Hex(request.body.token), p_default_tokens: signUp.defaultTokens };
      const { email, changed } = await database.call('verify_email', link, VerifiedSchema);
      return { message: changed ? CHANGED : VERIFIED, email };
    },
  );

  app.post(
    '/auth/verify-email/resend',
    {
      onRequest,
      schema: {
        operationId: 'resendVerification',
        summary: 'Mail another link for verifying an address',
        description:
          'Answers the same in the same time whether or not an account waits for it. The link is good for 24 hours and once; a newer one ends it. At most 3 mails in 15 minutes go to one address.',
        body: ResendVerificationSchema,
        response: { 202: MessageSchema },
      },
    },
    async (request, reply) => {
      const outbox = requireOutbox(app);
      const token = createOpaqueToken();
      const link = { p_email: normalizeEmail(request.body.email), p_token_hash: sha256Hex(token) };
      await outbox.post(createVerificationMessage(publicUrl, token), (p_mail) =>
        database.call('request_email_verification', { ...link, p_mail }, AnyResult),
      );
      return reply.code(202).send({ message: ASKED });
    },
  );
};
