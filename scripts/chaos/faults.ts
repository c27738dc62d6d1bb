import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Random } from './random.js';
import { DEVICE_TOKENS, type Stage } from './stage.js';

/** Something that breaks. */
export interface Fault {
  readonly name: string;
  /** Breaks it, waits, and mends it; returns what was done. */
  readonly run: (stage: Stage, random: Random) => Promise<string>;
}

/** Returns a time in milliseconds between two. */
const between = (random: Random, least: number, most: number) => least + random.below(most - least);

async function endServer(stage: Stage, random: Random, signal: 'SIGKILL' | 'SIGTERM'): Promise<string> {
  const server = random.pick(stage.servers);
  await server.end(signal);
  await delay(between(random, 0, 1_000));
  await server.start();
  return `the ${server.name} server, and started it again`;
}

async function killPostgres({ postgres }: Stage, random: Random): Promise<string> {
  await postgres.signal('SIGKILL');
  await delay(between(random, 0, 2_000));
  await postgres.restart();
  return 'Postgres, and started it again';
}

async function freezePostgres({ postgres }: Stage, random: Random): Promise<string> {
  const milliseconds = between(random, 1_000, 8_000);
  await postgres.signal('SIGSTOP');
  await delay(milliseconds);
  await postgres.signal('SIGCONT');
  return `Postgres for ${milliseconds} ms`;
}

async function terminateBackends({ postgres }: Stage, random: Random): Promise<string> {
  let ended = 0;
  for (let round = 0; round < 4; round += 1) {
    const rows = await postgres.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where pid <> pg_backend_pid() and backend_type = 'client backend' and (hashint4(pid) + $1) % 3 = 0`,
      [random.below(3)],
    );
    ended += rows.length;
    await delay(between(random, 50, 500));
  }
  return `${ended} connections, by Postgres`;
}

async function cutDatabase({ databaseProxy }: Stage, random: Random): Promise<string> {
  const cuts = 1 + random.below(5);
  for (let round = 0; round < cuts; round += 1) {
    databaseProxy.cut(random, random.pick([0.2, 0.5, 1]));
    await delay(between(random, 50, 800));
  }
  return `the servers from Postgres, ${cuts} times`;
}

async function delayDatabase({ databaseProxy }: Stage, random: Random): Promise<string> {
  const [each, milliseconds] = [between(random, 20, 400), between(random, 1_000, 4_000)];
  databaseProxy.setDelay(each);
  await delay(milliseconds);
  databaseProxy.setDelay(0);
  return `all between the servers and Postgres by ${each} ms for ${milliseconds} ms`;
}

async function loseDatabaseAnswers({ databaseProxy }: Stage, random: Random): Promise<string> {
  const milliseconds = between(random, 200, 2_000);
  databaseProxy.setLosingAnswers(true);
  await delay(milliseconds);
  databaseProxy.setLosingAnswers(false);
  return `of Postgres for ${milliseconds} ms`;
}

async function cutClients({ clientProxies }: Stage, random: Random): Promise<string> {
  const cuts = 2 + random.below(10);
  for (let round = 0; round < cuts; round += 1) {
    random.pick(clientProxies).cut(random, random.pick([0.3, 1]));
    await delay(between(random, 20, 300));
  }
  return `clients, ${cuts} times`;
}

async function loseClientAnswers({ clientProxies }: Stage, random: Random): Promise<string> {
  const milliseconds = between(random, 300, 3_000);
  const proxy = random.pick(clientProxies);
  proxy.setLosingAnswers(true);
  await delay(milliseconds);
  proxy.setLosingAnswers(false);
  return `of a server for ${milliseconds} ms`;
}

async function exhaustConnections({ postgres, databaseProxy }: Stage, random: Random): Promise<string> {
  const taken: pg.Client[] = [];
  const take = () =>
    postgres.connect().then(
      (client) => taken.push(client) > 0,
      () => false,
    );
  try {
    // The servers' own connections are cut, so that they have to ask for new ones.
    for (let misses = 0; misses < 20 && taken.length < 100; ) {
      if (!(await take())) misses += 1;
      if (misses % 5 === 4) databaseProxy.cut(random, 0.5);
    }
    await delay(between(random, 500, 3_000));
    return `all ${taken.length} connections of Postgres`;
  } finally {
    await Promise.all(taken.map((client) => client.end()));
  }
}

/** Ages the period by a month, and lets several servers find out at once, as they do every minute. */
async function crossMonth({ postgres }: Stage): Promise<string> {
  await postgres.sql(`update public.periods set started_at = started_at - interval '32 days' where closed_at is null`);
  const due = () => postgres.sql<{ due: boolean }>('select public.start_period_when_due($1) as due', [DEVICE_TOKENS]);
  const answers = (await Promise.all([due(), due(), due()])).flat().filter((row) => row.due);
  return `a month, which began ${answers.length === 1 ? 'once' : `${answers.length} times`}`;
}

async function fillDisk({ postgres }: Stage, random: Random): Promise<string> {
  if (!postgres.hasOwnDisk) return 'nothing: a small disk takes root, who may mount one';
  const filler = join(postgres.directory, '..', 'filler');
  const { bavail, bsize } = await statfs(postgres.directory);
  // A full disk ends the write in the middle, which is what was wanted.
  await writeFile(filler, Buffer.alloc(bavail * bsize)).catch(() => {});
  await delay(between(random, 1_000, 5_000));
  await rm(filler, { force: true });
  // A Postgres that could not write its log has stopped, as it must.
  await postgres.restart();
  return `the disk of Postgres, ${Math.round((bavail * bsize) / 2 ** 20)} MiB`;
}

export const FAULTS: readonly Fault[] = [
  { name: 'kill-server', run: (stage, random) => endServer(stage, random, 'SIGKILL') },
  { name: 'stop-server', run: (stage, random) => endServer(stage, random, 'SIGTERM') },
  { name: 'kill-postgres', run: killPostgres },
  { name: 'freeze-postgres', run: freezePostgres },
  { name: 'terminate-backends', run: terminateBackends },
  { name: 'cut-database', run: cutDatabase },
  { name: 'delay-database', run: delayDatabase },
  { name: 'lose-database-answers', run: loseDatabaseAnswers },
  { name: 'cut-clients', run: cutClients },
  { name: 'lose-client-answers', run: loseClientAnswers },
  { name: 'exhaust-connections', run: exhaustConnections },
  { name: 'cross-month', run: crossMonth },
  { name: 'fill-disk', run: fillDisk },
];
