import { Type } from '@sinclair/typebox';

/** Most connections of a machine: the session pooler of a small Supabase project admits 15 clients, commands included. */
export const DEFAULT_POOL_SIZE = 12;

export const PoolSize = {
  DATABASE_POOL_SIZE: Type.Integer({
    default: DEFAULT_POOL_SIZE,
    minimum: 1,
    maximum: 1_000,
    description:
      "Most connections to Postgres, of all processes of this machine together. Uses, readiness and long work have their own, from 5 a process on; a small Supabase project's session pooler admits 15.",
  }),
};

/** Connections of a supervisor of workers, whose jobs are done one after the other. */
export const SUPERVISOR_CONNECTIONS = 1;

/** Returns the connections to a standby each process that answers requests may have. */
export const toStandbyPoolSize = (total: number, workers: number): number => Math.max(1, Math.floor(total / workers));

/** Returns the connections each worker may have of those of the machine. */
export function toWorkerPoolSize(total: number, workers: number): number {
  return Math.max(1, Math.floor((total - SUPERVISOR_CONNECTIONS) / workers));
}
