import type { Static } from '@sinclair/typebox';
import type { DevicesSchema } from '../../../features/admin/devices/device-list-schemas.js';
import type { AccountsSchema } from '../../../features/admin/users/user-schemas.js';
import { api } from '../session.js';
import type { Subject, SubjectKind } from './balance.js';

const FOUND = 6;

/** Finds devices or people by a part of their name, address or id. */
export async function findSubjects(kind: SubjectKind, q: string, signal: AbortSignal): Promise<readonly Subject[]> {
  const query = { q, limit: FOUND };
  if (kind === 'device') {
    const { devices } = await api.get<Static<typeof DevicesSchema>>('admin/devices', query, signal);
    return devices.map(({ id, name, allocated, remaining }) => ({ kind, id, name, allocated, remaining }));
  }
  const { users } = await api.get<Static<typeof AccountsSchema>>('admin/users', query, signal);
  return users.map((user) => ({
    kind,
    id: user.id,
    name: user.email,
    allocated: user.total_tokens,
    remaining: user.tokens_left,
  }));
}
