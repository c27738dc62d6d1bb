import type { Static } from '@sinclair/typebox';
import type { ProfileSchema } from '../../../features/users/schemas.js';

/** A person's own account. */
export type Profile = Static<typeof ProfileSchema>;

/** What a card gets that changes it. */
export interface ProfileCardProps {
  readonly profile: Profile;
  readonly onChanged: (profile: Profile) => void;
}
