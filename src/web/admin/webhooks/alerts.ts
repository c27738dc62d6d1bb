import type { Static } from '@sinclair/typebox';
import type { AlertsSchema } from '../../../features/alerts/schemas.js';

/** At which thresholds is warned, and who. */
export type Alerts = Static<typeof AlertsSchema>;
/** Whose thresholds there are. */
export const WHOSE = ['device', 'user', 'pool'] as const;
