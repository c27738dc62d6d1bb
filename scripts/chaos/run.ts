import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { type Asked, GivenUp } from './client.js';
import type { Fault } from './faults/all.js';
import type { Actor } from './load/actor.js';
import { openAdmin } from './load/admin.js';
import { openDevices } from './load/devices.js';
import { openNewcomers } from './load/newcomers.js';
import { openPayments } from './load/payments.js';
import { openPeople } from './load/people.js';
import type { ChaosOptions } from './options.js';
import { createRandom, type Random } from './random.js';
import type { Stage } from './stage.js';

/** How long it took until a server answered again after a fault was mended, by the fault's name. */
export type Recoveries = ReadonlyMap<string, readonly number[]>;

const DEVICES = 6;
const PEOPLE = 3;
/** How long all may take to be well again, in milliseconds; more is a violation. */
const RECOVERY_MS = 60_000;
/** How long clients go on asking for their last answers, in milliseconds. */
const DRAIN_MS = 90_000;

const RegisteredSchema = Type.Object({ device_id: Type.String(), device_token: Type.String() });

/** Opens everybody who uses the servers. */
async function openActors(stage: Stage, random: Random): Promise<Actor[]> {
  const devices = await openDevices(stage, DEVICES);
  const people = await openPeople(stage, PEOPLE);
  const admin = await openAdmin(stage, devices.ids);
  const payments = await openPayments(stage, people.tokens, random.fork('payments'));
  return [devices.actor, people.actor, openNewcomers(stage), admin, payments];
}

/** Has everybody act until it is over. */
async function actUntil(actors: readonly Actor[], stage: Stage, random: Random, isOver: () => boolean): Promise<void> {
  const act = async ({ name, act }: Actor, n: number) => {
    const choices = random.fork(`${name} ${n}`);
    while (!isOver()) {
      await act(choices).catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        stage.journal.violate(error instanceof GivenUp ? reason : `${name} did not understand an answer: ${reason}`);
      });
      await delay(choices.below(30));
    }
  };
  await Promise.all(actors.flatMap((actor) => Array.from({ length: actor.atOnce }, (_, n) => act(actor, n))));
}

/** Opens what measures how long each server takes until it debits again. */
async function openProbe({ client, servers, journal }: Stage): Promise<() => Promise<number>> {
  const body = { device_name: 'Probe', hardware_fingerprint: randomUUID() };
  const { json } = await client.untilAnswered({ method: 'POST', path: '/devices/register', body });
  const { device_token: token } = Value.Decode(RegisteredSchema, json);
  const asked: Asked = { method: 'POST', path: '/usage/log', token, body: { model_type: 'gpt-5' } };
  return async () => {
    const start = performance.now();
    const passed = () => performance.now() - start;
    const recover = async (server: number) => {
      for (;;) {
        const reply = await client.once(asked, server);
        if (reply !== undefined && reply.status < 500) return;
        if (passed() > RECOVERY_MS) return journal.violate(`server ${server + 1} did not recover in ${RECOVERY_MS} ms`);
        await delay(25);
      }
    };
    await Promise.all(servers.map((_, server) => recover(server)));
    return passed();
  };
}

/** Breaks one thing after the other until the time is up; returns how long each took to recover from. */
async function breakThings(
  stage: Stage,
  options: ChaosOptions,
  random: Random,
  tell: (line: string) => void,
): Promise<Recoveries> {
  const recoveries = new Map<string, number[]>();
  const measureRecovery = await openProbe(stage);
  const end = performance.now() + options.milliseconds;
  // Each fault comes once before one comes again.
  let left: Fault[] = [];
  while (performance.now() < end) {
    if (left.length === 0) left = [...options.faults];
    const fault = random.pick(left);
    left.splice(left.indexOf(fault), 1);
    await delay(200 + random.below(800));
    const done = await fault.run(stage, random.fork(`${fault.name} ${recoveries.get(fault.name)?.length ?? 0}`));
    const milliseconds = Math.round(await measureRecovery());
    recoveries.set(fault.name, [...(recoveries.get(fault.name) ?? []), milliseconds]);
    const counts = [...stage.journal.counts].map(([what, count]) => `${count} ${what}`).join(', ');
    const minutesLeft = Math.max(0, (end - performance.now()) / 60_000).toFixed(1);
    tell(`${fault.name}: ${done}; recovered in ${milliseconds} ms (${counts}; ${minutesLeft} min left)`);
  }
  return recoveries;
}

/** Has every hold expire, and finds those that stay, and books that do not add up. */
async function checkBooks({ postgres }: Stage): Promise<string[]> {
  await postgres.sql(`update public.reservations set expires_at = now() - interval '1 second' where status = 'held'`);
  // A server may be at it at this moment, which counts as done by somebody else.
  for (let ran = false; !ran; ) {
    const [row] = await postgres.sql<{ ran: boolean }>(`select (public.maintain() ->> 'ran')::boolean as ran`);
    ran = row?.ran ?? false;
  }
  const held = await postgres.sql(`select id, subject_id from public.reservations where status = 'held'`);
  const kept = await postgres.sql('select subject_id, reserved from public.balances where reserved <> 0');
  const overspent = await postgres.sql('select * from public.balances where used + reserved > allocated');
  const checks = await postgres.sql<{ name: string; ok: boolean; discrepancies: unknown }>(
    'select name, ok, discrepancies from public.verify_ledger(true)',
  );
  return [
    ...held.map((row) => `a stuck hold: ${JSON.stringify(row)}`),
    ...kept.map((row) => `tokens that stay held: ${JSON.stringify(row)}`),
    ...overspent.map((row) => `overspent: ${JSON.stringify(row)}`),
    ...checks.filter(({ ok }) => !ok).map(({ name, discrepancies }) => `${name}: ${JSON.stringify(discrepancies)}`),
  ];
}

/** What a run came to. */
export interface Outcome {
  readonly violations: readonly string[];
  readonly recoveries: Recoveries;
}

/** Loads the servers, breaks things, waits until all is well, and compares what was answered with the database. */
export async function runChaos(stage: Stage, options: ChaosOptions, tell: (line: string) => void): Promise<Outcome> {
  const random = createRandom(String(options.seed));
  const actors = await openActors(stage, random);
  let over = false;
  const acting = actUntil(actors, stage, random, () => over);
  const recoveries = await breakThings(stage, options, random.fork('faults'), tell).finally(() => {
    over = true;
    stage.setDeadline(Date.now() + DRAIN_MS);
  });
  tell('waiting for the last answers');
  await acting;
  const wrong: string[] = [];
  for (const { name, summarize, check } of actors) {
    tell(`comparing what ${name} were told with the database: ${summarize()}`);
    wrong.push(...(await check()));
  }
  tell('proving the books');
  wrong.push(...(await checkBooks(stage)));
  return { violations: [...stage.journal.violations, ...wrong], recoveries };
}
