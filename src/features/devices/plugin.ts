import type { FastifyPluginAsync } from 'fastify';
import { requireDevice } from '../../auth/guards/device-guard.js';
import { requireDeviceOrUser } from '../../auth/guards/device-or-user-guard.js';
import { getLimiter } from '../../auth/limits/rate-limits.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { balanceRoutes } from './balance-routes.js';
import { createDeviceMeter, limitDeviceMeter } from './device-meter.js';
import { recordRoutes } from './record-routes.js';
import { registrationRoutes } from './registration-routes.js';

/** Dependencies of the device routes. */
export interface DevicesOptions {
  readonly database: Database;
  readonly reads: Reads;
  readonly config: Config['devices'];
}

/** Serves contract 3's devices: they register, and meter their own balance. */
export const devices: FastifyPluginAsync<DevicesOptions> = async (app, { database, reads, config }) => {
  await app.register(registrationRoutes, { database, config });
  await app.register(async (scope) => {
    requireDevice(scope);
    await scope.register(balanceRoutes, { meter: limitDeviceMeter(createDeviceMeter(database), getLimiter(app)) });
  });
  await app.register(async (scope) => {
    requireDeviceOrUser(scope, 'usage:read');
    await scope.register(recordRoutes, { reads });
  });
};
