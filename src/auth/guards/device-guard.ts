import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type DeviceIdentity, type DeviceToken, signDeviceToken, verifyDeviceToken } from '../tokens/device-tokens.js';
import { parseBearerToken, requireBearer } from './bearer.js';

const DEVICE = 'device';

/** Returns the device a guarded request comes from. */
export function getDevice(request: FastifyRequest): DeviceIdentity {
  return request.getDecorator<DeviceToken>(DEVICE);
}

/** Guards every route of the scope: only requests with a device token pass, others get 401. */
export function requireDevice(scope: FastifyInstance): void {
  requireBearer<DeviceToken>(scope, {
    scheme: 'deviceToken',
    decorator: DEVICE,
    authenticate: (request) => verifyDeviceToken(scope, parseBearerToken(request)),
    toSubjects: ({ id }) => [{ kind: 'device', id }],
  });
  // Devices that never register again would stop after a year. A success shows that the version is still the current one.
  scope.addHook('onSend', (request, reply, _payload, done) => {
    const device = request.getDecorator<DeviceToken | undefined>(DEVICE);
    if (device?.isEnding === true && reply.statusCode < 300)
      reply.header('x-device-token', signDeviceToken(scope, device));
    done();
  });
}
