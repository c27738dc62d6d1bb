import { randomUUID } from 'node:crypto';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import pLimit from 'p-limit';
import { request } from 'undici';
import { tryPatiently } from '../measure/patiently.js';
import { type BenchServer, startBenchServer } from '../server.js';

const DeviceSchema = Type.Object({ device_id: Type.String(), device_token: Type.String() });
const AccountSchema = Type.Object({ token: Type.String() });
const TrackerSchema = Type.Object({ sessionToken: Type.String() });
const LedgerSchema = Type.Object({ ok: Type.Boolean() });

/** A registered device. */
export interface BenchDevice {
  readonly id: string;
  readonly token: string;
}

/** A person with tokens, whose tracker may count. */
export interface BenchAccount {
  readonly email: string;
  readonly password: string;
  readonly token: string;
  readonly trackerToken: string;
}

/** The server under test with those who use it; they are made when a case first asks for so many. */
export interface Stage {
  readonly server: BenchServer;
  readonly devices: (count: number) => Promise<readonly BenchDevice[]>;
  readonly accounts: (count: number) => Promise<readonly BenchAccount[]>;
  /** Sends JSON to a route, by its path, with a token. @throws for anything but a 2xx */
  readonly send: (path: string, token: string, body: object) => Promise<void>;
  /** Has the server recompute its books. @throws where they do not add up */
  readonly verifyLedger: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const AT_ONCE = 16;

/** Sends JSON and returns the answer's. @throws for anything but a 2xx of that shape */
async function ask<Schema extends TSchema>(
  url: string,
  schema: Schema,
  body?: object,
  token?: string,
): Promise<Static<Schema>> {
  const answer = await request(url, {
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${url} was answered with ${answer.statusCode}: ${text}`);
  return Value.Decode(schema, JSON.parse(text));
}

/** Returns a function that makes as many as are asked for, each once. */
function createPopulation<T>(make: () => Promise<T>): (count: number) => Promise<readonly T[]> {
  const made: Promise<T>[] = [];
  const limit = pLimit(AT_ONCE);
  return (count) => {
    while (made.length < count) made.push(limit(() => tryPatiently(make)));
    return Promise.all(made.slice(0, count));
  };
}

/** Opens the stage: a server of its own over an embedded database of its own. */
export async function openStage(): Promise<Stage> {
  const server = await startBenchServer();
  const api = `${server.url}/api`;
  let adminToken: string | undefined;
  return {
    server,
    devices: createPopulation(async () => {
      const device = { device_name: 'Benchmark', hardware_fingerprint: randomUUID() };
      const { device_id: id, device_token: token } = await ask(`${api}/devices/register`, DeviceSchema, device);
      return { id, token };
    }),
    accounts: createPopulation(async () => {
      const [email, password] = [`${randomUUID()}@example.com`, randomUUID()];
      const { token } = await ask(`${api}/auth/register`, AccountSchema, { email, password });
      const { sessionToken: trackerToken } = await ask(`${api}/signup`, TrackerSchema, { email });
      return { email, password, token, trackerToken };
    }),
    send: async (path, token, body) =>
      void (await tryPatiently(() => ask(`${api}${path}`, Type.Unknown(), body, token))),
    verifyLedger: async () => {
      const login = { username: 'admin', password: server.adminPassword };
      adminToken ??= (await ask(`${api}/admin/login`, AccountSchema, login)).token;
      const { ok } = await ask(`${api}/admin/ledger/verify`, LedgerSchema, undefined, adminToken);
      if (!ok) throw new Error('The books do not add up: see GET /api/admin/ledger/verify');
    },
    close: server.close,
  };
}
