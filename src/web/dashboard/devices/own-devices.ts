import type { Static } from '@sinclair/typebox';
import type { OwnDeviceSchema } from '../../../features/users/schemas.js';
import { api } from '../../foundation/session/person-session.js';
import { type Pages, usePages } from '../use-pages.js';

/** A device of the person's, with its balance. */
export type OwnDevice = Static<typeof OwnDeviceSchema>;
interface List {
  readonly devices: readonly OwnDevice[];
  readonly next_cursor: string | null;
}

/** Loads the devices of the person, newest first. @param round changes when they are loaded again */
export function useOwnDevices(round = 0): Pages<OwnDevice> {
  return usePages<OwnDevice>(
    async (cursor, signal) => {
      const { devices, next_cursor } = await api.get<List>('users/me/devices', { limit: 50, cursor }, signal);
      return { rows: devices, next: next_cursor };
    },
    [round],
  );
}
