import type { Static } from '@sinclair/typebox';
import type { OverviewSchema } from '../../../features/admin/reports/overview-schemas.js';

/** What the console shows first. */
export type Overview = Static<typeof OverviewSchema>;
export type Pool = Overview['pools']['devices'];
