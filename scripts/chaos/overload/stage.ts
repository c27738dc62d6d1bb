import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { request } from 'undici';
import { startProgram } from '../../bench/server.js';
import { openPostgres, type Postgres } from '../postgres.js';
import { createChaosServer } from '../server.js';

/** A device, and where its balance is. */
export interface LoadedDevice {
  readonly id: string;
  readonly token: string;
}

/** One server over a Postgres that can be made slow. */
export interface OverloadStage {
  readonly url: string;
  readonly postgres: Postgres;
  readonly devices: readonly LoadedDevice[];
  readonly user: { readonly id: string; readonly token: string };
  readonly adminToken: string;
  /** Has every batch of uses, and every look of readiness, take so many seconds longer. */
  readonly slowDown: (seconds: number) => Promise<void>;
  /** Returns the events of devices in the database. */
  readonly countEvents: () => Promise<number>;
  readonly close: () => Promise<void>;
}

const DEVICES = 40;
const MANY = '1000000000000';
/** Stops every caller, of whatever role: what a saturated disk does to those that write. */
const SLOW = `
  create table private.chaos_pause (seconds double precision not null);
  insert into private.chaos_pause values (0);
  create function private.chaos_pause() returns trigger language plpgsql security definer set search_path = '' as $$
    begin
      perform pg_catalog.pg_sleep(seconds) from private.chaos_pause;
      return null;
    end $$;
  create trigger chaos_pause before insert on public.usage_events for each statement execute function private.chaos_pause();
  alter function public.write_problem() rename to write_problem_at_once;
  create function public.write_problem() returns jsonb language plpgsql stable security definer set search_path = '' as $$
    begin
      perform pg_catalog.pg_sleep(seconds) from private.chaos_pause;
      return public.write_problem_at_once();
    end $$;
  grant execute on function public.write_problem() to service_role;`;

const RegisteredSchema = Type.Object({ device_id: Type.String(), device_token: Type.String() });
const AccountSchema = Type.Object({ token: Type.String(), user: Type.Object({ id: Type.String() }) });
const TokenSchema = Type.Object({ token: Type.String() });

async function post(url: string, body: object): Promise<unknown> {
  const answer = await request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return answer.body.json();
}

/** Opens the stage; the server is ready, and its database as quick as it can be. */
export async function openOverloadStage(): Promise<OverloadStage> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-overload-'));
  const [postgres, upstream] = [await openPostgres(false), await startProgram('upstream.js')];
  await postgres.sql(SLOW);
  const adminPassword = randomBytes(16).toString('base64url');
  const server = createChaosServer('server', directory, {
    DATABASE_URL: postgres.adminUrl,
    JWT_SECRET: randomBytes(32).toString('base64url'),
    ADMIN_PASSWORD: adminPassword,
    LOG_LEVEL: 'error',
    RATE_LIMIT: 'off',
    SIGNUP: 'open',
    DEFAULT_DEVICE_TOKENS: MANY,
    DEFAULT_USER_TOKENS: MANY,
    OPENROUTER_API_KEY: 'chaos',
    OPENROUTER_BASE_URL: `${upstream.url}/api/v1`,
  });
  await server.start();
  const url = `http://127.0.0.1:${server.port()}`;

  const register = async (): Promise<LoadedDevice> => {
    const body = { device_name: 'Overload', hardware_fingerprint: randomUUID() };
    const { device_id: id, device_token: token } = Value.Decode(
      RegisteredSchema,
      await post(`${url}/api/devices/register`, body),
    );
    return { id, token };
  };
  const devices = await Promise.all(Array.from({ length: DEVICES }, register));
  const account = { email: `${randomUUID()}@example.com`, password: randomUUID() };
  const { token, user } = Value.Decode(AccountSchema, await post(`${url}/api/auth/register`, account));
  const login = { username: 'admin', password: adminPassword };
  const { token: adminToken } = Value.Decode(TokenSchema, await post(`${url}/api/admin/login`, login));
  return {
    ...{ url, postgres, devices, user: { id: user.id, token }, adminToken },
    slowDown: async (seconds) => {
      await postgres.sql('update private.chaos_pause set seconds = $1', [seconds]);
    },
    countEvents: async () => {
      const [row] = await postgres.sql<{ count: number }>(
        `select count(*)::integer as count from public.usage_events where source = 'device'`,
      );
      return row?.count ?? 0;
    },
    close: async () => {
      await server.end('SIGKILL');
      upstream.process.disconnect();
      await postgres.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
