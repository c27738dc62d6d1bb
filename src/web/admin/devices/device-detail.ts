import type { Static } from '@sinclair/typebox';
import type { DeviceDetailSchema } from '../../../features/admin/devices/device-list-schemas.js';

/** A device with its owner, its usage of this month and its periods. */
export type DeviceDetail = Static<typeof DeviceDetailSchema>;
