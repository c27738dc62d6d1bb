import { setTimeout as delay } from 'node:timers/promises';
import { between, type Random } from '../random.js';
import type { Stage } from '../stage.js';

export async function cutDatabase({ databaseProxy }: Stage, random: Random): Promise<string> {
  const cuts = 1 + random.below(5);
  for (let round = 0; round < cuts; round += 1) {
    databaseProxy.cut(random, random.pick([0.2, 0.5, 1]));
    await delay(between(random, 50, 800));
  }
  return `the servers from Postgres, ${cuts} times`;
}

export async function delayDatabase({ databaseProxy }: Stage, random: Random): Promise<string> {
  const [each, milliseconds] = [between(random, 20, 400), between(random, 1_000, 4_000)];
  databaseProxy.setDelay(each);
  await delay(milliseconds);
  databaseProxy.setDelay(0);
  return `all between the servers and Postgres by ${each} ms for ${milliseconds} ms`;
}

export async function loseDatabaseAnswers({ databaseProxy }: Stage, random: Random): Promise<string> {
  const milliseconds = between(random, 200, 2_000);
  databaseProxy.setLosingAnswers(true);
  await delay(milliseconds);
  databaseProxy.setLosingAnswers(false);
  return `of Postgres for ${milliseconds} ms`;
}

export async function cutClients({ clientProxies }: Stage, random: Random): Promise<string> {
  const cuts = 2 + random.below(10);
  for (let round = 0; round < cuts; round += 1) {
    random.pick(clientProxies).cut(random, random.pick([0.3, 1]));
    await delay(between(random, 20, 300));
  }
  return `clients, ${cuts} times`;
}

export async function loseClientAnswers({ clientProxies }: Stage, random: Random): Promise<string> {
  const milliseconds = between(random, 300, 3_000);
  const proxy = random.pick(clientProxies);
  proxy.setLosingAnswers(true);
  await delay(milliseconds);
  proxy.setLosingAnswers(false);
  return `of a server for ${milliseconds} ms`;
}
