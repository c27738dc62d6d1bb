import cors from '@fastify/cors';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { createKeyHolders } from './auth/api-keys/api-key-owners.js';
import { apiKeyRoutes } from './auth/api-keys/routes.js';
import rateLimits from './auth/limits/rate-limits.js';
import { createGoogleAccessTokens } from './auth/oauth/google-access-token.js';
import { googleRoutes } from './auth/oauth/google-routes.js';
import { createProviders } from './auth/oauth/providers.js';
import { signInRoutes } from './auth/oauth/routes.js';
import { passwordResetRoutes } from './auth/password-reset/routes.js';
import { accountRoutes } from './auth/sessions/routes.js';
import { ownSessionRoutes } from './auth/sessions/session-routes.js';
import clientTokens from './auth/tokens/client-tokens.js';
import type { Config } from './config/config.js';
import { budgetRoutes } from './features/admin/budget-routes.js';
import { managedDeviceRoutes } from './features/admin/device-routes.js';
import { reportRoutes } from './features/admin/report-routes.js';
import { loginRoutes, sessionRoutes } from './features/admin/session-routes.js';
import { userRoutes } from './features/admin/user-routes.js';
import { createChat } from './features/chat/chat.js';
import { openAiRoutes } from './features/chat/openai-routes.js';
import { chatRoutes } from './features/chat/routes.js';
import { createDeviceMeter } from './features/devices/device-meter.js';
import { deviceRoutes, registrationRoutes } from './features/devices/routes.js';
import { createFeatureRecorder } from './features/events/event-recorder.js';
import { featureRoutes } from './features/events/routes.js';
import { createChangeFeed } from './features/settings/change-feed.js';
import { settingsRoutes } from './features/settings/routes.js';
import { syncStreamRoutes } from './features/settings/stream-routes.js';
import { syncRoutes } from './features/settings/sync-routes.js';
import { createPayments } from './features/subscriptions/payments.js';
import { subscriptionRoutes } from './features/subscriptions/routes.js';
import { webhookRoutes } from './features/subscriptions/webhook-routes.js';
import { signupRoutes, trackerRoutes } from './features/tracker/routes.js';
import { createTrackerMeter } from './features/tracker/tracker-meter.js';
import { allUsageRoutes, usageQuestionRoutes } from './features/usage/question-routes.js';
import { usageRoutes } from './features/usage/routes.js';
import { createUsageRecorder } from './features/usage/usage-recorder.js';
import { ownDeviceRoutes } from './features/users/device-routes.js';
import { exportRoutes } from './features/users/export-routes.js';
import { ledgerRoutes } from './features/users/ledger-routes.js';
import { profileRoutes } from './features/users/profile-routes.js';
import type { Backend } from './platform/database/backend.js';
import { createReadiness, type Readiness } from './platform/health/readiness.js';
import { healthRoutes } from './platform/health/routes.js';
import { corsOptions } from './platform/http/cors.js';
import errorHandler, { answerError, answerMalformed } from './platform/http/error-handler.js';
import jsonBody from './platform/http/json-body.js';
import { parseTrustedProxies } from './platform/http/trusted-proxies.js';
import { validatorCompiler } from './platform/http/validation.js';
import logging, { toRequestId } from './platform/logging.js';
import mail from './platform/mail/outbox.js';
import docs from './platform/openapi.js';
import type { Services } from './services.js';
import { pageRoutes } from './web/plugin.js';

const BODY_LIMIT_BYTES = 64 * 1024;

/** What the application needs of its backend. */
export type AppBackend = Pick<Backend, 'database' | 'userDatabase' | 'jwtSecret' | 'embedded'>;

/**
 * Builds the application, ready to listen or to be injected into: tests build exactly what production runs.
 *
 * @param logger pino, as {@link createLogger} makes it
 * @param readiness what `/readyz` asks; the process drains it before it stops
 */
export async function buildApp(
  config: Config,
  backend: AppBackend,
  logger: FastifyBaseLogger,
  readiness: Readiness = createReadiness(backend.database),
): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: (request) => toRequestId(request.headers['x-request-id']),
    trustProxy: parseTrustedProxies(config.TRUST_PROXY),
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: 30_000,
    keepAliveTimeout: 72_000,
    // Closing counts as well: it waits for streams under way.
    pluginTimeout: 60_000,
    // While closing, requests on open connections are still answered, with `Connection: close`.
    return503OnClosing: false,
    frameworkErrors: answerError,
    clientErrorHandler: answerMalformed,
    http: { headersTimeout: 15_000, connectionsCheckingInterval: 5_000 },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);

  app.addHook('onSend', async (_request, reply) => {
    if (readiness.isDraining()) reply.header('connection', 'close');
  });
  await app.register(logging);
  await app.register(errorHandler);
  await app.register(jsonBody);
  await app.register(cors, corsOptions(config.CORS_ORIGINS));
  await app.register(rateLimits, { enabled: config.RATE_LIMIT === 'on' });
  await app.register(clientTokens, { secret: backend.jwtSecret });
  await app.register(mail, { config, embedded: backend.embedded });
  await app.register(docs, { config });

  const changeFeed = createChangeFeed(backend.database, logger);
  // A stream has no end of its own for which the server could wait.
  readiness.onDrain(changeFeed.close);
  app.addHook('preClose', async () => changeFeed.close());

  const services: Services = {
    config,
    database: backend.database,
    userDatabase: backend.userDatabase,
    keyHolders: createKeyHolders(backend.database),
    deviceMeter: createDeviceMeter(backend.database),
    featureRecorder: createFeatureRecorder(backend.database, config.RETENTION_MONTHS),
    usageRecorder: createUsageRecorder(backend.database, config.RETENTION_MONTHS),
    trackerMeter: createTrackerMeter(backend.database),
    chat: createChat(app, config, backend.database),
    changeFeed,
    secret: backend.jwtSecret,
    embedded: backend.embedded,
    signInProviders: createProviders(config),
    googleAccessTokens: createGoogleAccessTokens(config),
    payments: createPayments(config),
  };
  const api = async (scope: FastifyInstance) => {
    await scope.register(accountRoutes, services);
    await scope.register(ownSessionRoutes, services);
    await scope.register(apiKeyRoutes, services);
    await scope.register(passwordResetRoutes, services);
    await scope.register(signInRoutes, services);
    await scope.register(googleRoutes, services);
    await scope.register(profileRoutes, services);
    await scope.register(ledgerRoutes, services);
    await scope.register(ownDeviceRoutes, services);
    await scope.register(exportRoutes, services);
    await scope.register(settingsRoutes, services);
    await scope.register(syncRoutes, services);
    await scope.register(syncStreamRoutes, services);
    await scope.register(registrationRoutes, services);
    await scope.register(deviceRoutes, services);
    await scope.register(signupRoutes, services);
    await scope.register(trackerRoutes, services);
    await scope.register(usageRoutes, services);
    await scope.register(usageQuestionRoutes, services);
    await scope.register(featureRoutes, services);
    await scope.register(chatRoutes, services);
    await scope.register(openAiRoutes, services);
    await scope.register(subscriptionRoutes, services);
    await scope.register(webhookRoutes, services);
    await scope.register(loginRoutes, services);
    await scope.register(sessionRoutes, services);
    await scope.register(budgetRoutes, services);
    await scope.register(managedDeviceRoutes, services);
    await scope.register(reportRoutes, services);
    await scope.register(allUsageRoutes, services);
    await scope.register(userRoutes, services);
  };
  await app.register(api, { prefix: '/api' });
  await app.register(async (root) => {
    root.addHook('onRoute', (route) => {
      route.schema = { ...route.schema, hide: true };
    });
    await api(root);
  });
  await app.register(pageRoutes);
  await app.register(healthRoutes, { readiness });
  return app;
}
