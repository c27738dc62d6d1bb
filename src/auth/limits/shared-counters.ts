import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyBaseLogger } from 'fastify';
import { type Charge, type Count, type Counters, createLocalCounters } from './counters.js';

/** Counters that all servers share. */
export interface SharedCounters extends Counters {
  readonly close: () => void;
}

/** Keys of one call must be in one slot of a cluster; what stands in braces decides. */
const PREFIX = '{tokenledger:limits}:';
/** Longest wait for an answer, in milliseconds: a request must not notice that Redis hangs. */
const COMMAND_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 2_000;
/** How often a Redis that is connected, but hangs or refuses to write, is tried again, in milliseconds. */
const PROBE_INTERVAL_MS = 1_000;

/** Adds each amount to its key and answers what stands there, and in how many milliseconds it goes. */
const ADD_SCRIPT = `
local counts = {}
for position, key in ipairs(KEYS) do
  local amount, window = tonumber(ARGV[2 * position - 1]), tonumber(ARGV[2 * position])
  local used = amount == 0 and tonumber(redis.call('GET', key) or '0') or redis.call('INCRBY', key, amount)
  if used < 0 then
    used = 0
    redis.call('SET', key, 0, 'KEEPTTL')
  end
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = window
    if amount ~= 0 then redis.call('PEXPIRE', key, window) end
  end
  counts[2 * position - 1], counts[2 * position] = used, left
end
return counts
`;
const OUT_OF_REACH = 'Redis is out of reach: each process counts limits by itself until it is back';
/** What tells whether Redis counts again. */
const TRIAL: Charge = { key: 'trial', windowSeconds: 1, amount: 1 };
const AnswerSchema = Type.Array(Type.Integer());

function toCounts(answer: unknown, charges: readonly Charge[]): Count[] {
  if (!Value.Check(AnswerSchema, answer)) throw new Error('Redis answered no counts');
  return charges.map((_charge, position) => ({
    used: answer[2 * position] ?? 0,
    resetsInMs: answer[2 * position + 1] ?? 0,
  }));
}

/**
 * Opens counters in Redis. While it is out of reach the process counts by itself, nobody waits, and the log says so.
 * Written out, as the rate limit plugins count one request under one key a call, and wait for the connection.
 *
 * @returns once Redis is connected, or could not be at first
 */
export async function openSharedCounters(url: string, log: FastifyBaseLogger): Promise<SharedCounters> {
  // Loaded where it is used: a start takes a fourteenth longer with it.
  const { Redis } = await import('ioredis');
  const local = createLocalCounters();
  const redis = new Redis(url, {
    enableOfflineQueue: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (attempt) => Math.min(attempt * 100, PROBE_INTERVAL_MS),
  });
  let isShared = false;
  let isClosed = false;
  let probe: NodeJS.Timeout | undefined;

  const addToRedis = async (charges: readonly Charge[]): Promise<readonly Count[]> => {
    const keys = charges.map(({ key }) => PREFIX + key);
    const args = charges.flatMap(({ amount, windowSeconds }) => [amount, windowSeconds * 1_000]);
    return toCounts(await redis.eval(ADD_SCRIPT, keys.length, ...keys, ...args), charges);
  };
  const stopProbing = () => {
    clearInterval(probe);
    probe = undefined;
  };
  const regain = () => {
    stopProbing();
    if (!isShared) log.info('limits are counted in Redis');
    isShared = true;
  };
  const lose = (reason: string) => {
    if (isClosed) return;
    if (isShared) log.warn({ reason }, OUT_OF_REACH);
    isShared = false;
    if (probe !== undefined || redis.status !== 'ready') return;
    probe = setInterval(() => void addToRedis([TRIAL]).then(regain, () => {}), PROBE_INTERVAL_MS).unref();
  };
  redis.on('ready', regain);
  redis.on('close', () => lose('the connection ended'));
  // Each failed attempt to connect ends here too; without a listener it would end the process.
  redis.on('error', (error: Error) => lose(error.message));

  await new Promise<void>((resolve) => {
    redis.once('ready', resolve);
    redis.once('close', resolve);
    setTimeout(resolve, CONNECT_TIMEOUT_MS).unref();
  });
  if (!isShared) log.warn(OUT_OF_REACH);

  const addShared = async (charges: readonly Charge[]): Promise<readonly Count[]> => {
    try {
      return await addToRedis(charges);
    } catch (error) {
      lose(error instanceof Error ? error.message : 'unknown');
      return local.add(charges);
    }
  };

  return {
    add: (charges) => (isShared ? addShared(charges) : local.add(charges)),
    findProblem: () => (isShared ? undefined : OUT_OF_REACH),
    close: () => {
      isClosed = true;
      stopProbing();
      redis.disconnect();
    },
  };
}
