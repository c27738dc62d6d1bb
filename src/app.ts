import cors from '@fastify/cors';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { createGoogleAccessTokens } from './auth/google-access-tokens.js';
import type { Counters } from './auth/limits/counters.js';
import { getLimiter } from './auth/limits/rate-limits.js';
import { auth, authentication } from './auth/plugin.js';
import { deriveKeys } from './auth/tokens/crypto.js';
import type { Config } from './config/config.js';
import { parseSecretList } from './config/secret-list.js';
import { parseTrustedProxies } from './config/trusted-proxies.js';
import { bulkChanges } from './features/admin/bulk/carry-on.js';
import { admin } from './features/admin/plugin.js';
import { alerts } from './features/alerts/plugin.js';
import { answerClientError } from './features/chat/formats/client-errors.js';
import { isOpenAiPath } from './features/chat/formats/openai/errors.js';
import { chat } from './features/chat/plugin.js';
import { devices } from './features/devices/plugin.js';
import { events } from './features/events/plugin.js';
import { settings } from './features/settings/plugin.js';
import { createBilling } from './features/subscriptions/billing.js';
import { subscriptions } from './features/subscriptions/plugin.js';
import { tracker } from './features/tracker/plugin.js';
import { usage } from './features/usage/plugin.js';
import { users } from './features/users/plugin.js';
import { webhookDelivery, webhooks } from './features/webhooks/plugin.js';
import type { Backend } from './platform/database/backend.js';
import { createPrimaryReads, type ReadDatabase } from './platform/database/replica/read-database.js';
import { createReadiness, type Readiness } from './platform/health/readiness.js';
import { healthRoutes } from './platform/health/routes.js';
import allowedMethods from './platform/http/allowed-methods.js';
import { markAsApi, rejectApiPrefix, toRoutedUrl } from './platform/http/api-prefix.js';
import { corsOptions } from './platform/http/cors.js';
import errorHandler, { answerError, answerMalformed } from './platform/http/error-handler.js';
import { createFiles } from './platform/http/files.js';
import { forgiveBodies } from './platform/http/forgiving-bodies.js';
import jsonBody from './platform/http/json-body.js';
import overload from './platform/http/overload.js';
import readLag from './platform/http/read-lag.js';
import requestForm from './platform/http/request-form.js';
import securityHeaders from './platform/http/security-headers.js';
import { buildSerializer } from './platform/http/serialization.js';
import silentConnections from './platform/http/silent-connections.js';
import stalledReaders from './platform/http/stalled-readers.js';
import { validatorCompiler } from './platform/http/validation.js';
import logging, { toRequestId } from './platform/logging.js';
import mail from './platform/mail/outbox.js';
import measuring, { metricsRoutes } from './platform/metrics/plugin.js';
import openapi from './platform/openapi/plugin.js';
import { PUBLISHED_ROUTES } from './published-routes.js';
import { pageRoutes } from './web/plugin.js';

const BODY_LIMIT_BYTES = 64 * 1024;

/** What the application needs of its backend. */
export type AppBackend = Pick<Backend, 'database' | 'callerDatabase' | 'jwtSecret' | 'embedded'>;

/** What the process brings along. */
export interface AppProcess {
  /** What `/readyz` asks; the process drains it before it stops. */
  readonly readiness?: Readiness;
  /** What limits are counted with, unless Redis is set; by default this process counts by itself. */
  readonly counters?: Counters | undefined;
  /** Returns what is wrong with the process beside others, though it is ready. */
  readonly findNotice?: (() => string | undefined) | undefined;
  /** What reports are read with; the process closes it. By default the backend's own database. */
  readonly reads?: ReadDatabase | undefined;
}

/** Creates the bare server: every option of Fastify's is here. */
function createServer(config: Config['http'], logger: FastifyBaseLogger): FastifyInstance {
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: (request) => toRequestId(request.headers['x-request-id']),
    rewriteUrl: (request) => toRoutedUrl(request.url ?? '/'),
    trustProxy: parseTrustedProxies(config.trustProxy),
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: 30_000,
    keepAliveTimeout: 72_000,
    // Closing counts as well: it waits for streams under way.
    pluginTimeout: 60_000,
    // While closing, requests on open connections are still answered, with `Connection: close`.
    return503OnClosing: false,
    schemaController: { compilersFactory: { buildSerializer } },
    frameworkErrors: (error, request, reply) =>
      isOpenAiPath(request.url) ? answerClientError(error, request, reply) : answerError(error, request, reply),
    clientErrorHandler: answerMalformed,
    // A request without a Host is refused in our words, not in Node's.
    http: { headersTimeout: 15_000, connectionsCheckingInterval: 5_000, requireHostHeader: false },
  });
  app.setValidatorCompiler(validatorCompiler);
  return app;
}

/**
 * Builds the application, ready to listen or to be injected into: tests build exactly what production runs.
 *
 * @param logger pino, as {@link createLogger} makes it
 */
export async function buildApp(
  config: Config,
  backend: AppBackend,
  logger: FastifyBaseLogger,
  {
    readiness = createReadiness(backend.database),
    counters,
    findNotice = () => undefined,
    reads = createPrimaryReads(backend),
  }: AppProcess = {},
): Promise<FastifyInstance> {
  const { database, callerDatabase } = backend;
  const secrets = parseSecretList(backend.jwtSecret);
  // The oldest, so that what was derived stays what it was when a new secret is put in front.
  const secret = secrets.at(-1) ?? '';
  const { retentionMonths } = config.usage;
  const { signUp } = config;
  const googleAccessTokens = createGoogleAccessTokens(config.signIn.googleAccessTokens);
  const billing = await createBilling(database, config.stripe);
  const files = createFiles();
  const app = createServer(config.http, logger);

  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (readiness.isDraining()) reply.header('connection', 'close');
    done();
  });
  await app.register(silentConnections);
  await app.register(stalledReaders);
  await app.register(logging);
  await app.register(measuring);
  await app.register(allowedMethods);
  await app.register(errorHandler);
  await app.register(overload, { maxEventLoopDelay: config.http.maxEventLoopDelay });
  await app.register(securityHeaders, { publicUrl: config.http.publicUrl });
  await app.register(cors, corsOptions(config.http.corsOrigins));
  await app.register(readLag, { reads });
  await app.register(requestForm);
  await app.register(jsonBody);
  await app.register(authentication, { database, config, secrets, counters });
  const keys = deriveKeys(secrets, 'mails');
  await app.register(mail, { database, config: config.mail, embedded: backend.embedded, keys });

  const webhookOptions = { database, config: config.webhooks, keys: deriveKeys(secrets, 'webhooks') };
  await app.register(webhookDelivery, webhookOptions);
  await app.register(bulkChanges, { database });

  await app.register(openapi, { config: config.http });

  await app.register(async (api) => {
    markAsApi(api);
    forgiveBodies(api, PUBLISHED_ROUTES);
    await api.register(auth, { database, config, secret, googleAccessTokens });
    await api.register(users, {
      database,
      callerDatabase,
      reads,
      files,
      cancelBilling: billing.cancel,
      publicUrl: config.http.publicUrl,
    });
    await api.register(settings, { database, callerDatabase, onDrain: readiness.onDrain });
    await api.register(devices, { database, reads, config: config.devices });
    await api.register(tracker, { database, config: config.tracker });
    await api.register(usage, { database, reads, files, retentionMonths });
    await api.register(events, { database, reads, retentionMonths });
    await api.register(chat, { database, config: config.chat, signUp, googleAccessTokens });
    await api.register(subscriptions, { database, callerDatabase, payments: billing.payments });
    await api.register(admin, {
      database,
      reads,
      signUp,
      publicUrl: config.http.publicUrl,
      config: config.admin,
      overview: config.overview,
    });
    await api.register(alerts, { database });
    await api.register(webhooks, webhookOptions);
  });
  await app.register(async (root) => {
    rejectApiPrefix(root);
    await root.register(pageRoutes);
    await root.register(healthRoutes, {
      readiness,
      findNotices: [getLimiter(app).findProblem, findNotice],
      findSource: reads.source,
    });
    await root.register(metricsRoutes, { database, config: config.metrics });
  });
  return app;
}
