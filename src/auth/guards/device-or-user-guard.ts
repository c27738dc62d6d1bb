import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Caller, DeviceCaller } from '../../platform/database/client/caller.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { looksLikeApiKey } from '../api-keys/api-key.js';
import type { ApiKeyScope } from '../api-keys/scopes.js';
import { admit } from '../limits/rate-limits.js';
import { parseDeviceToken } from '../tokens/device-tokens.js';
import { parseBearerToken } from './bearer.js';
import { authenticateUser } from './user-authentication.js';
import { toSubjects } from './user-guard.js';

const SENDER = 'deviceOrUser';

/** A device, or a person. */
export type DeviceOrUser = Caller | DeviceCaller;

/** Returns who sends a guarded request; SQL decides whether they may. */
export function getDeviceOrUser(request: FastifyRequest): DeviceOrUser {
  return request.getDecorator<DeviceOrUser>(SENDER);
}

/** Returns who a bearer token stands for: a device, or a person. @throws {ApiError} MISSING_TOKEN, INVALID_TOKEN, INSUFFICIENT_SCOPE */
async function authenticateEither(
  app: FastifyInstance,
  request: FastifyRequest,
  apiKeyScope: ApiKeyScope,
): Promise<DeviceOrUser> {
  const token = parseBearerToken(request);
  const device = looksLikeApiKey(token) ? undefined : parseDeviceToken(app, token);
  if (device === undefined) return authenticateUser(app, request, apiKeyScope);
  return { device_id: device.id, token_version: device.tokenVersion };
}

/**
 * Guards every route of the scope: only requests with the token of a device or of a person pass, within their limits.
 * @param apiKeyScope what API keys need
 */
export function requireDeviceOrUser(scope: FastifyInstance, apiKeyScope: ApiKeyScope): void {
  describeRoutes(scope, { security: [{ deviceToken: [] }, { userToken: [] }, { apiKey: [apiKeyScope] }] });
  scope.decorateRequest(SENDER);
  scope.addHook('onRequest', async (request, reply) => {
    const sender = await authenticateEither(scope, request, apiKeyScope);
    await admit(
      request,
      reply,
      'device_id' in sender ? [{ kind: 'device', id: sender.device_id }] : toSubjects(sender),
    );
    request.setDecorator<DeviceOrUser>(SENDER, sender);
  });
}
