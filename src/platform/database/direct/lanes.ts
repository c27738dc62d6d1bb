/** Kinds of calls that must not keep each other waiting. */
export const LANES = ['metering', 'readiness', 'heavy', 'long', 'general'] as const;
export type Lane = (typeof LANES)[number];

/** Functions that everybody's uses go through. */
const METERING: ReadonlySet<string> = new Set([
  'meter_devices',
  'meter_chat',
  'track_usage',
  'record_usage',
  'record_features',
]);

/** Functions that read as much as there is. */
const HEAVY =
  /^(export_|summarize_|list_all_usage$|list_usage$|list_audit$|list_users$|list_period_devices$|my_ledger$|device_usage$|device_ledger$|dashboard$)/;

/** Returns the lane of a call. @param timeoutMs time-out the function sets for itself, in milliseconds */
export function findLane(name: string, timeoutMs: number | undefined): Lane {
  if (name === 'applied_migrations' || name === 'write_problem' || name === 'replication_state') return 'readiness';
  if (METERING.has(name)) return 'metering';
  if (HEAVY.test(name)) return 'heavy';
  return timeoutMs === undefined ? 'general' : 'long';
}

/** Connections of each lane; lanes that name another share its. */
export type Shares = Readonly<Record<Lane, number | Lane>>;

/** Shares out the connections to a standby, where all that is read is heavy. */
export function shareStandby(total: number): Shares {
  const heavy = Math.max(1, total - 1);
  return { metering: 'heavy', readiness: total === 1 ? 'heavy' : 1, heavy, long: 'heavy', general: 'heavy' };
}

/** Shares out the connections of a process: with few of them, lanes share, and metering is the last to. */
export function shareConnections(total: number): Shares {
  if (total === 1)
    return { metering: 1, readiness: 'metering', heavy: 'metering', long: 'metering', general: 'metering' };
  if (total === 2) return { metering: 1, readiness: 'general', heavy: 'general', long: 'general', general: 1 };
  if (total === 3) return { metering: 1, readiness: 1, heavy: 'general', long: 'general', general: 1 };
  if (total === 4) return { metering: 1, readiness: 1, heavy: 1, long: 'heavy', general: 1 };
  const small = Math.max(1, Math.floor(total / 6));
  const metering = Math.max(1, Math.floor(total / 4));
  return { metering, readiness: 1, heavy: small, long: small, general: total - 1 - 2 * small - metering };
}
