import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { publicUrlOf } from '../../config/config.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { accountLimit } from '../limits/rate-limits.js';
import type { StartedSession } from '../sessions/login.js';
import { SessionAnswerSchema } from '../sessions/schemas.js';
import { sessionAnswer } from '../sessions/session.js';
import { deriveKey } from '../tokens/derived-key.js';
import { randomToken } from '../tokens/opaque-token.js';
import { addressFor, destinationOf } from './destination.js';
import { beginFlow, flowSecrets, takeFlow } from './flow.js';
import { redirectCheck } from './redirects.js';
import { BeginSignInSchema, CallbackSchema, ProviderParamsSchema, RedirectSchema, SwapCodeSchema } from './schemas.js';
import { grantCode, logInExternally, swapCode } from './sign-in.js';

const tags = ['Sign-in'];

/** Signing in with an account at another service: there, back, and the code that becomes a session. */
export const signInRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  const { config, database, signInProviders } = services;
  const key = deriveKey(services.secret, 'oauth');
  const isAllowed = redirectCheck(config.OAUTH_REDIRECT_URIS);
  const answer = ({ opened, refreshToken }: StartedSession) => sessionAnswer(app, services, opened, refreshToken);

  // Codes and tokens stay out of caches and of the header that tells the next site where a browser came from.
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
  });

  app.get(
    '/auth/oauth/:provider',
    {
      onRequest: accountLimit(app),
      // Here and below: a HEAD request, as link scanners send it, must neither begin a sign-in nor use one up.
      exposeHeadRoute: false,
      schema: {
        tags,
        summary: 'Sign in with Google or GitHub: sends the browser there',
        params: ProviderParamsSchema,
        querystring: BeginSignInSchema,
        response: { 302: RedirectSchema, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { redirect_uri = null, state: client_state = null, code_challenge = null } = request.query;
      const { name, provider } = signInProviders.named(request.params.provider);
      if (redirect_uri !== null && !isAllowed(redirect_uri)) throw new ApiError('REDIRECT_NOT_ALLOWED');
      const flow = { redirect_uri, client_state, code_challenge };
      const destination = await destinationOf(request, flow, async () => {
        const state = randomToken();
        const address = await provider.authorizationUrl(flowSecrets(key, state));
        await beginFlow(database, name, state, flow);
        return address.href;
      });
      return reply.redirect(destination);
    },
  );

  app.get(
    '/auth/oauth/:provider/callback',
    {
      onRequest: accountLimit(app),
      exposeHeadRoute: false,
      schema: {
        tags,
        summary:
          'Where the provider sends the browser back: on to the client with a code, or a session without a client',
        params: ProviderParamsSchema,
        querystring: CallbackSchema,
        response: { 200: SessionAnswerSchema, 302: RedirectSchema, ...errors(400, 401, 404) },
      },
    },
    async (request, reply) => {
      const { name, provider } = signInProviders.named(request.params.provider);
      const { state } = request.query;
      const flow = await takeFlow(database, name, state);
      const { search } = new URL(request.url, publicUrlOf(config));
      const identity = () => provider.identity(search, flowSecrets(key, state));
      const { redirect_uri, client_state, code_challenge } = flow;
      if (redirect_uri === null) return answer(await logInExternally(services, request, await identity()));
      const destination = await destinationOf(request, flow, async () => {
        const code = await grantCode(services, await identity(), { redirect_uri, code_challenge });
        return addressFor(redirect_uri, client_state, { code });
      });
      return reply.redirect(destination);
    },
  );

  app.post(
    '/auth/oauth/token',
    {
      onRequest: accountLimit(app),
      schema: {
        tags,
        summary: 'Swap the code a sign-in ended with for tokens; it is good once, for 2 minutes',
        body: SwapCodeSchema,
        response: { 200: SessionAnswerSchema, ...errors(400, 413, 415) },
      },
    },
    async (request) => answer(await swapCode(services, request, request.body)),
  );
};
