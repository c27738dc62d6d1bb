import type { FunctionName } from '../client/database.js';

/**
 * What may be read from a standby: what only shows what happened. Whatever decides about tokens, money or who somebody is
 * is not here, nor is anything that writes.
 */

/** What people and devices read of their own. */
export const OWN_READS = [
  'summarize_usage',
  'list_usage',
  'summarize_features',
  'my_ledger',
  'device_usage',
  'device_ledger',
  'my_devices',
  'export_ledger_entries',
  'export_reservations',
  'export_generations',
  'export_usage_events',
  'export_subscriptions',
  'export_subscription_grants',
  'export_feature_events',
  'export_settings',
  'export_settings_versions',
] as const satisfies readonly FunctionName[];

/** What admins read of everybody's. */
export const ADMIN_READS = [
  'dashboard',
  'get_overview',
  'summarize_all_usage',
  'list_all_usage',
  'summarize_all_features',
  'list_account_ledger',
  'list_device_ledger',
  'list_period_devices',
] as const satisfies readonly FunctionName[];

export type OwnRead = (typeof OWN_READS)[number];
export type AdminRead = (typeof ADMIN_READS)[number];
