import type { Static } from '@sinclair/typebox';
import type { DeviceDetailSchema } from '../../../features/admin/devices/device-list-schemas.js';
import type { AccountSchema } from '../../../features/admin/users/account-schemas.js';
import type { UsageSummary } from '../../../features/usage/schemas.js';
import { ApiFailure } from '../../foundation/api/failure.js';
import { api } from '../session.js';
import type { Group, UsageQuery } from './usage-query.js';

/** What one of a group used: its key as the API has it, and its name. */
export interface Part {
  readonly key: string;
  readonly name: string;
  readonly day: string;
  readonly prompts: number;
  readonly total_tokens: number;
  readonly cost: number;
  readonly nano_usd: number;
}

/** How many names are asked for, the largest first; further ones are shown by their ids. */
const NAMED = 12;
const names = new Map<string, string>();

async function findName(by: 'device' | 'user', id: string): Promise<string> {
  if (by === 'device') return (await api.get<Static<typeof DeviceDetailSchema>>(`admin/devices/${id}`)).name;
  return (await api.get<Static<typeof AccountSchema>>(`admin/users/${id}`)).email;
}

/** Learns what devices or people are called; who is gone keeps the id. */
async function learnNames(by: 'device' | 'user', ids: readonly string[]): Promise<void> {
  const unknown = ids.filter((id) => id !== '' && !names.has(id)).slice(0, NAMED);
  await Promise.all(
    unknown.map(async (id) => {
      try {
        names.set(id, await findName(by, id));
      } catch (error) {
        if (!(error instanceof ApiFailure && error.status === 404)) throw error;
        names.set(id, id.slice(0, 8));
      }
    }),
  );
}

/** Returns what a device or an account is called, as far as that was asked for. */
export const nameOf = (id: string): string => names.get(id) ?? id.slice(0, 8);

function keyOf(item: UsageSummary['series'][number], by: Group): string {
  const key: unknown = Reflect.get(item, by);
  return typeof key === 'string' ? key : '';
}

/** Loads usage by day and group, with the names of those who used most. */
export async function loadUsage(
  { by, from, to, filter }: UsageQuery,
  signal: AbortSignal,
): Promise<{ readonly summary: UsageSummary; readonly parts: readonly Part[] }> {
  const query = { from, to, group_by: `day,${by}`, ...filter };
  const summary = await api.get<UsageSummary>('admin/usage/summary', query, signal);
  if (by === 'device' || by === 'user') {
    const sums = new Map<string, number>();
    for (const item of summary.series) {
      const key = keyOf(item, by);
      sums.set(key, (sums.get(key) ?? 0) + item.prompts + item.total_tokens);
    }
    await learnNames(
      by,
      [...sums].sort(([, a], [, b]) => b - a).map(([key]) => key),
    );
  }
  const isPerson = by === 'device' || by === 'user';
  const parts = summary.series.map((item) => {
    const key = keyOf(item, by);
    const { day = '', prompts, total_tokens, cost, nano_usd } = item;
    return { key, name: isPerson && key !== '' ? nameOf(key) : key, day, prompts, total_tokens, cost, nano_usd };
  });
  return { summary, parts };
}
