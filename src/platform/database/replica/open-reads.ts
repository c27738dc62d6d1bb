import type { Config } from '../../../config/config.js';
import { toStandbyPoolSize } from '../../../config/pool-size.js';
import { type Backend, type BackendLog, openStandbyDirect } from '../backend.js';
import { createPrimaryReads, createStandbyReads, type ReadDatabase } from './read-database.js';
import { watchStandby } from './standby.js';

/** Opens what is read from a standby where one is set up, and from the database itself elsewhere. */
export async function openReads(
  { readReplica, workers }: Pick<Config, 'readReplica' | 'workers'>,
  primary: Pick<Backend, 'database' | 'callerDatabase'>,
  log: BackendLog & { readonly info: (details: object, message: string) => void },
): Promise<ReadDatabase> {
  if (readReplica === undefined) return createPrimaryReads(primary);
  const { connectionString, maxLag, poolSize } = readReplica;
  const replica = await openStandbyDirect(connectionString, log, toStandbyPoolSize(poolSize, workers));
  const standby = watchStandby(primary.database, replica.database, maxLag, log);
  return createStandbyReads(primary, replica, standby, replica.close);
}
