import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { request } from 'undici';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { createDatabase, runSql } from '../../database/databases.js';
import { startProgram } from '../server.js';

const SubjectSchema = Type.Object({ id: Type.String(), token: Type.String() });
/** Of every account that is made. */
const PASSWORD = 'a password of the benchmark';

/** Who uses it. */
export type NaiveKind = 'device' | 'account';

/** A device or account of the naive server; its address is the id at example.com. */
export interface NaiveSubject {
  readonly id: string;
  readonly token: string;
  readonly password: string;
}

/** The naive server and the plain function, in a database of their own. */
export interface Naive {
  readonly url: string;
  readonly pid: number;
  readonly databaseUrl: string;
  readonly subjects: readonly NaiveSubject[];
  readonly close: () => void;
}

/** Makes the database in the cluster of the server under test, and starts the naive server over it. */
export async function openNaive(adminUrl: string, kind: NaiveKind, count: number): Promise<Naive> {
  const databaseUrl = await createDatabase(adminUrl, `bench_${randomBytes(4).toString('hex')}`);
  await runSql(databaseUrl, await readFile(join(PROJECT_ROOT, 'scripts/bench/naive/plain.sql'), 'utf8'));
  const { url, process: child } = await startProgram('naive/server.js', {
    NAIVE_DATABASE_URL: databaseUrl,
    NAIVE_JWT_SECRET: randomBytes(32).toString('base64url'),
  });
  const register = async () => {
    const body = JSON.stringify({ password: PASSWORD });
    const headers = { 'content-type': 'application/json' };
    const answer = await request(`${url}/${kind}s/register`, { method: 'POST', headers, body });
    return { ...Value.Decode(SubjectSchema, await answer.body.json()), password: PASSWORD };
  };
  const subjects: NaiveSubject[] = [];
  while (subjects.length < count) subjects.push(await register());
  if (kind === 'account') await runSql(databaseUrl, 'select public.record_month()');
  return { url, pid: child.pid ?? 0, databaseUrl, subjects, close: () => child.disconnect() };
}
