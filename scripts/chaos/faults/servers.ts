import { setTimeout as delay } from 'node:timers/promises';
import { between, type Random } from '../random.js';
import type { Stage } from '../stage.js';

export async function endServer(stage: Stage, random: Random, signal: 'SIGKILL' | 'SIGTERM'): Promise<string> {
  const server = random.pick(stage.servers);
  await server.end(signal);
  await delay(between(random, 0, 1_000));
  await server.start();
  return `the ${server.name} server, and started it again`;
}

export async function killWorker({ servers }: Stage, random: Random): Promise<string> {
  const server = servers.find(({ hasWorkers }) => hasWorkers);
  await server?.killWorker(random.pick);
  await delay(between(random, 0, 1_000));
  return `a worker of the ${server?.name} server`;
}

export async function reloadWorkers({ servers }: Stage, random: Random): Promise<string> {
  const server = servers.find(({ hasWorkers }) => hasWorkers);
  server?.reload();
  await delay(between(random, 2_000, 5_000));
  return `of the ${server?.name} server`;
}

export async function breakRedis({ redis }: Stage, random: Random): Promise<string> {
  if (!redis.isThere) return 'nothing: Redis is not installed';
  const milliseconds = between(random, 500, 4_000);
  const isFrozen = random.chance(0.5);
  if (isFrozen) redis.signal('SIGSTOP');
  else await redis.kill();
  await delay(milliseconds);
  if (isFrozen) redis.signal('SIGCONT');
  else await redis.start();
  return `Redis, ${isFrozen ? 'frozen' : 'killed'} for ${milliseconds} ms`;
}

/** Breaks what is between three servers and Postgres. */
export async function breakPooler({ pooler }: Stage, random: Random): Promise<string> {
  if (pooler === undefined) return 'nothing: these servers have none';
  const milliseconds = between(random, 500, 4_000);
  const isFrozen = random.chance(0.5);
  if (isFrozen) pooler.signal('SIGSTOP');
  else await pooler.kill();
  await delay(milliseconds);
  if (isFrozen) pooler.signal('SIGCONT');
  else await pooler.start();
  return `PgBouncer, ${isFrozen ? 'frozen' : 'killed'} for ${milliseconds} ms`;
}

/** As far as clocks that are set by the network drift, in milliseconds; tokens allow for it. */
const DRIFT_MS = 50_000;
/** As far as clocks are off that nobody sets, in milliseconds. */
const FAR_MS = 72 * 3_600_000;

/** Sets the clocks of one server, or of both, which is as if that of Postgres were wrong. */
export async function shiftClocks({ servers, setClocksApart }: Stage, random: Random): Promise<string> {
  const isFar = random.chance(0.5);
  const wrong = random.chance(0.5) ? servers : [random.pick(servers)];
  const most = isFar ? FAR_MS : DRIFT_MS / 2;
  const shifts = wrong.map((server) => ({ server, milliseconds: between(random, -most, most) }));
  if (isFar) setClocksApart(true);
  await Promise.all(shifts.map(({ server, milliseconds }) => server.setClock(milliseconds)));
  await delay(between(random, 1_000, 6_000));
  await Promise.all(servers.map((server) => server.setClock(0)));
  if (isFar) {
    // Until what was answered by the wrong clock has arrived.
    await delay(2_000);
    setClocksApart(false);
  }
  const told = shifts.map(
    ({ server, milliseconds }) => `the ${server.name} server’s by ${Math.round(milliseconds / 1_000)} s`,
  );
  return `${told.join(', ')}, and set them right again`;
}
