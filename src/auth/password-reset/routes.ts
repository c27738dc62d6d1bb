import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { publicUrlOf } from '../../config/config.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import { requireOutbox } from '../../platform/mail/outbox.js';
import type { Services } from '../../services.js';
import { accountLimit } from '../limits/rate-limits.js';
import { hashNewPassword } from '../passwords.js';
import { normalEmail } from '../sessions/schemas.js';
import { digestOf, randomToken } from '../tokens/opaque-token.js';
import { resetMessage } from './message.js';
import { ForgotPasswordSchema, MessageSchema, ResetPasswordSchema } from './schemas.js';

const tags = ['Accounts'];
const ASKED = 'If there is an account with this address, a mail with a link is on its way to it.';
const CHANGED = 'Every device has been logged out. Log in again with your new password.';
const requestOf = shapeOf(Type.Object({ mail_to: Type.Union([Type.String(), Type.Null()]) }));

/** A forgotten password: `POST /auth/forgot-password` mails a link, `/auth/reset-password` uses it. */
export const passwordResetRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { config, database }) => {
  const onRequest = accountLimit(app);

  app.post(
    '/auth/forgot-password',
    {
      onRequest,
      schema: {
        tags,
        summary: 'Mail a link to set a new password with',
        description:
          'Answers the same in the same time whether or not there is an account. The link is good for 30 minutes and once; a newer one ends it. At most 3 mails in 15 minutes go to one account.',
        body: ForgotPasswordSchema,
        response: { 202: MessageSchema, ...errors(400, 413, 415) },
      },
    },
    async (request, reply) => {
      const outbox = requireOutbox(app);
      const token = randomToken();
      const reset = { p_email: normalEmail(request.body.email), p_token_hash: digestOf(token) };
      const { mail_to } = requestOf(await callDatabase(() => database.rpc('request_password_reset', reset)));
      // Written in any case, so that it costs the same.
      const message = resetMessage(mail_to ?? reset.p_email, publicUrlOf(config), token);
      if (mail_to !== null) outbox.post(message);
      return reply.code(202).send({ message: ASKED });
    },
  );

  app.post(
    '/auth/reset-password',
    {
      onRequest,
      schema: {
        tags,
        summary: 'Set a new password with the token of a mailed link',
        description:
          'Ends every session. Following the link proves the address: where nobody had proved it before, API keys, linked providers and devices go as well, as a stranger may have made them; where somebody had, they stay.',
        body: ResetPasswordSchema,
        response: { 200: MessageSchema, ...errors(400, 413, 415) },
      },
    },
    async (request) => {
      const { token, new_password } = request.body;
      const p_password_hash = await hashNewPassword(new_password);
      const reset = { p_token_hash: digestOf(token), p_password_hash };
      await callDatabase(() => database.rpc('reset_password', reset));
      return { message: CHANGED };
    },
  );
};
