import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { between, type Random } from '../random.js';
import { DEVICE_TOKENS, type Stage } from '../stage.js';

export async function killPostgres({ postgres }: Stage, random: Random): Promise<string> {
  await postgres.signal('SIGKILL');
  await delay(between(random, 0, 2_000));
  await postgres.restart();
  return 'Postgres, and started it again';
}

export async function freezePostgres({ postgres }: Stage, random: Random): Promise<string> {
  const milliseconds = between(random, 1_000, 8_000);
  await postgres.signal('SIGSTOP');
  await delay(milliseconds);
  await postgres.signal('SIGCONT');
  return `Postgres for ${milliseconds} ms`;
}

export async function terminateBackends({ postgres }: Stage, random: Random): Promise<string> {
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

export async function exhaustConnections({ postgres, databaseProxy }: Stage, random: Random): Promise<string> {
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
export async function crossMonth({ postgres }: Stage): Promise<string> {
  await postgres.sql(`update public.periods set started_at = started_at - interval '32 days' where closed_at is null`);
  const due = () => postgres.sql<{ due: boolean }>('select public.start_period_when_due($1) as due', [DEVICE_TOKENS]);
  const answers = (await Promise.all([due(), due(), due()])).flat().filter((row) => row.due);
  return `a month, which began ${answers.length === 1 ? 'once' : `${answers.length} times`}`;
}

export async function fillDisk({ postgres }: Stage, random: Random): Promise<string> {
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
