import { availableParallelism } from 'node:os';
import { Type } from '@sinclair/typebox';

/** Most processes of one server; the embedded Postgres has no connections for more. */
const MOST_WORKERS = 32;

export const Workers = {
  WORKERS: Type.String({
    default: '1',
    pattern: '^(auto|[1-9]|[12][0-9]|3[0-2])$',
    description: 'Processes that answer requests on this machine, 1 to 32; auto for one a core. See docs/deploy.md.',
  }),
};

/** Returns how many processes answer requests. @param text as the environment's schema allows it */
export function parseWorkers(text: string): number {
  return text === 'auto' ? Math.min(availableParallelism(), MOST_WORKERS) : Number(text);
}
