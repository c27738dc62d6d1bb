import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Caller, DeviceCaller } from '../../platform/database/client/caller.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { looksLikeApiKey } from '../api-keys/api-key.js';
import { admit } from '../limits/rate-limits.js';
import { parseDeviceToken } from '../tokens/device-tokens.js';
import { parseBearerToken } from './bearer.js';
import { authenticateUser } from './user-authentication.js';
import { toSubjects } from './user-guard.js';

const READER = 'deviceReader';

/** A device, or the person who asks about one of theirs. */
export type DeviceReader = Caller | DeviceCaller;

/** Returns who asks about a device; SQL decides whether they may. */
export function getDeviceReader(request: FastifyRequest): DeviceReader {
  return request.getDecorator<DeviceReader>(READER);
}

/** Returns who a bearer token stands for: a device, or a person. @throws {ApiError} MISSING_TOKEN, INVALID_TOKEN, INSUFFICIENT_SCOPE */
async function authenticateReader(app: FastifyInstance, request: FastifyRequest): Promise<DeviceReader> {
  const token = parseBearerToken(request);
  const device = looksLikeApiKey(token) ? undefined : parseDeviceToken(app, token);
  if (device === undefined) return authenticateUser(app, request, 'usage:read');
  return { device_id: device.id, token_version: device.tokenVersion };
}

/** Guards every route of the scope: only requests with the token of a device or of a person pass, within their limits. */
export function requireDeviceReader(scope: FastifyInstance): void {
  describeRoutes(scope, { security: [{ deviceToken: [] }, { userToken: [] }, { apiKey: ['usage:read'] }] });
  scope.decorateRequest(READER);
  scope.addHook('onRequest', async (request, reply) => {
    const reader = await authenticateReader(scope, request);
    await admit(
      request,
      reply,
      'device_id' in reader ? [{ kind: 'device', id: reader.device_id }] : toSubjects(reader),
    );
    request.setDecorator<DeviceReader>(READER, reader);
  });
}
