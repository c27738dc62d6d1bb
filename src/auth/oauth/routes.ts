import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { RedirectCheck } from '../../config/redirect-uris.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import { isNavigation } from '../../platform/http/navigation.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { accountLimit } from '../limits/rate-limits.js';
import { SessionAnswerSchema } from '../sessions/schemas.js';
import { createOpaqueToken, deriveKey } from '../tokens/crypto.js';
import { beginFlow, consumeFlow, deriveFlowSecrets } from './flow.js';
import type { SignInProviders } from './providers.js';
import { resolveRedirectTarget, toClientUrl } from './redirect-target.js';
import { showFailure, toBeginPage } from './result-page.js';
import {
  BeginSignInSchema,
  CallbackSchema,
  ExchangeCodeSchema,
  ProviderParamsSchema,
  RedirectSchema,
} from './schemas.js';
import { exchangeCode, issueCode, type SignInOptions, signInWithProvider } from './sign-in.js';

interface SignInRoutesOptions extends SignInOptions {
  readonly secret: string;
  readonly providers: SignInProviders;
  /** Returns whether a sign-in may end at an address. */
  readonly isAllowedRedirect: RedirectCheck;
  readonly publicUrl: string;
}

/** Serves signing in with an account at another service: there, back, and the code that becomes a session. */
export const signInRoutes: FastifyPluginAsyncTypebox<SignInRoutesOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Sign-in'] });
  const { database, providers, isAllowedRedirect, publicUrl } = options;
  const { toAnswer } = options.sessions;
  const key = deriveKey(options.secret, 'oauth');

  app.setErrorHandler((error, request, reply) => showFailure(error, request, reply, publicUrl));
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
        operationId: 'beginOauthSignIn',
        summary: 'Begin to sign in with Google or GitHub: redirects the browser there',
        params: ProviderParamsSchema,
        querystring: BeginSignInSchema,
        response: { 302: RedirectSchema, ...errors(404) },
      },
    },
    async (request, reply) => {
      const { redirect_uri = null, state: client_state = null, code_challenge = null } = request.query;
      const { name, provider } = providers.require(request.params.provider);
      if (redirect_uri === null && isNavigation(request)) return reply.redirect(toBeginPage(publicUrl, name));
      if (redirect_uri !== null && !isAllowedRedirect(redirect_uri)) throw new ApiError('REDIRECT_NOT_ALLOWED');
      const flow = { redirect_uri, client_state, code_challenge };
      const destination = await resolveRedirectTarget(request, flow, async () => {
        const state = createOpaqueToken();
        const address = await provider.authorizationUrl(deriveFlowSecrets(key, state));
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
        operationId: 'finishOauthSignIn',
        summary: 'Finish a sign-in: redirects to the client with a code, or opens a session where no client waits',
        params: ProviderParamsSchema,
        querystring: CallbackSchema,
        response: { 200: SessionAnswerSchema, 302: RedirectSchema, ...errors(401, 403, 404) },
      },
    },
    async (request, reply) => {
      const { name, provider } = providers.require(request.params.provider);
      const { state } = request.query;
      const flow = await consumeFlow(database, name, state);
      if (flow.redirect_uri === null && isNavigation(request)) return reply.redirect(toBeginPage(publicUrl, name));
      const { search } = new URL(request.url, publicUrl);
      const identity = () => provider.identity(search, deriveFlowSecrets(key, state));
      const { redirect_uri, client_state, code_challenge } = flow;
      if (redirect_uri === null) return toAnswer(await signInWithProvider(options, request, await identity()));
      const destination = await resolveRedirectTarget(request, flow, async () => {
        const code = await issueCode(options, await identity(), { redirect_uri, code_challenge });
        return toClientUrl(redirect_uri, client_state, { code });
      });
      return reply.redirect(destination);
    },
  );

  app.post(
    '/auth/oauth/token',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'exchangeOauthCode',
        summary: 'Exchange the code of a finished sign-in for tokens; it works once, within 2 minutes',
        body: ExchangeCodeSchema,
        response: { 200: SessionAnswerSchema, ...errors(401, 403) },
      },
    },
    async (request) => toAnswer(await exchangeCode(options, request, request.body)),
  );
};
