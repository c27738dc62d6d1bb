import { openThrowawayCluster, type ThrowawayCluster } from './throwaway-cluster.js';

/** The environment variable that tells test files the superuser's connection string of the Postgres of their run. */
export const SHARED_CLUSTER_VARIABLE = 'TEST_POSTGRES_URL';
/** A few test files at once, each with servers that have pools. */
const SETTINGS = ['max_connections=400'];

let own: Promise<ThrowawayCluster> | undefined;

/** Starts the Postgres that the test files of a run share. */
export function openSharedCluster(): Promise<ThrowawayCluster> {
  return openThrowawayCluster(SETTINGS);
}

/**
 * Returns the superuser's connection string of the Postgres that databases are made in: that of the run, or where a test
 * file is run by itself one that ends with this process.
 */
export async function sharedClusterUrl(): Promise<string> {
  const given = process.env[SHARED_CLUSTER_VARIABLE];
  if (given !== undefined) return given;
  own ??= openSharedCluster();
  return (await own).adminUrl;
}
