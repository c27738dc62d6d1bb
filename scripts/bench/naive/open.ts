import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { request } from 'undici';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { createDatabase, runSql } from '../../database/databases.js';
import { startProgram } from '../server.js';
import type { BenchDevice } from '../stage/stage.js';

const DeviceSchema = Type.Object({ device_id: Type.String(), device_token: Type.String() });

/** The naive server and the plain function, in a database of their own. */
export interface Naive {
  readonly url: string;
  readonly pid: number;
  readonly databaseUrl: string;
  readonly devices: readonly BenchDevice[];
  readonly close: () => void;
}

/** Makes the database in the cluster of the server under test, and starts the naive server over it. */
export async function openNaive(adminUrl: string, deviceCount: number): Promise<Naive> {
  const databaseUrl = await createDatabase(adminUrl, `bench_${randomBytes(4).toString('hex')}`);
  await runSql(databaseUrl, await readFile(join(PROJECT_ROOT, 'scripts/bench/naive/plain.sql'), 'utf8'));
  const { url, process: child } = await startProgram('naive/server.js', {
    NAIVE_DATABASE_URL: databaseUrl,
    NAIVE_JWT_SECRET: randomBytes(32).toString('base64url'),
  });
  const register = async () => {
    const answer = await request(`${url}/devices/register`, { method: 'POST' });
    const { device_id: id, device_token: token } = Value.Decode(DeviceSchema, await answer.body.json());
    return { id, token };
  };
  const devices: BenchDevice[] = [];
  while (devices.length < deviceCount) devices.push(await register());
  return { url, pid: child.pid ?? 0, databaseUrl, devices, close: () => child.disconnect() };
}
