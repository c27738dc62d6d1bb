import type { Static } from '@sinclair/typebox';
import type { ManagedAdminsSchema } from '../../../features/admin/admins/admin-schemas.js';

/** The admins, as owners see them. */
export type Admins = Static<typeof ManagedAdminsSchema>;
export type Admin = Admins['admins'][number];
