import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Random } from '../random.js';
import { DEVICE_TOKENS, type Stage } from '../stage.js';
import type { Actor } from './actor.js';

const TokenSchema = Type.Object({ token: Type.String() });
const RefusalSchema = Type.Object({ code: Type.String() });

/** An amount nobody else moves, and how often the ledger has to have it: with its sign, as entries of that amount. */
interface Moved {
  readonly amount: number;
  readonly entries: readonly number[];
}

/** Opens an admin who gives tokens, takes them back, moves them from device to device and resets the month. */
export async function openAdmin(stage: Stage, devices: readonly string[]): Promise<Actor> {
  const { client, journal, postgres } = stage;
  const login = { username: 'admin', password: stage.adminPassword };
  const { json } = await client.untilAnswered({ method: 'POST', path: '/admin/login', body: login });
  const { token } = Value.Decode(TokenSchema, json);
  const moved: Moved[] = [];
  const resets = { acknowledged: 0, unknown: 0 };
  // Beyond what resets and registrations write, so that an amount names the request.
  let next = DEVICE_TOKENS * 10;

  const move = async (random: Random) => {
    const [from, to] = [random.pick(devices), random.pick(devices)];
    next += 1;
    const amount = next;
    const kind = random.pick(['give', 'give', 'take', 'move'] as const);
    const body = {
      device_id: to,
      tokens: kind === 'take' ? -amount : amount,
      ...(kind === 'move' && from !== to && { from_device_id: from }),
    };
    const asked = { method: 'POST', path: '/admin/allocate', token, key: randomUUID(), body } as const;
    const { status, json, text } = await client.untilAnswered(asked);
    const code = Value.Check(RefusalSchema, json) ? json.code : text;
    const isRefused = status === 403 && (code === 'INSUFFICIENT_TOKENS' || code === 'BUDGET_EXCEEDED');
    if (status !== 200 && !isRefused) journal.violate(`allocating: ${status} ${text}`);
    const entries = 'from_device_id' in body ? [-amount, amount] : [body.tokens];
    moved.push({ amount, entries: status === 200 ? entries : [] });
  };
  const reset = async () => {
    const body = { default_tokens: DEVICE_TOKENS, force: true };
    const reply = await client.once({ method: 'POST', path: '/admin/reset-monthly', token, body });
    if (reply === undefined || reply.status >= 500) resets.unknown += 1;
    else if (reply.status === 200) resets.acknowledged += 1;
    else journal.violate(`resetting: ${reply.status} ${reply.text}`);
  };

  return {
    name: 'admin',
    atOnce: 2,
    act: (random) => (random.chance(0.05) ? reset() : move(random)),
    summarize: () => {
      const done = moved.filter(({ entries }) => entries.length > 0).length;
      return `${done} allocations, ${moved.length - done} refused, ${resets.acknowledged} resets`;
    },
    check: async () => {
      const rows = await postgres.sql<{ amount: string }>(
        `select amount from public.ledger_entries where actor = 'admin:admin' and kind in ('grant', 'transfer', 'adjustment')`,
      );
      const found = new Map<number, number[]>();
      for (const amount of rows.map((row) => Number(row.amount))) {
        found.set(
          Math.abs(amount),
          [...(found.get(Math.abs(amount)) ?? []), amount].sort((a, b) => a - b),
        );
      }
      const wrong = moved
        .filter(({ amount, entries }) => String(found.get(amount) ?? []) !== String(entries))
        .map(
          ({ amount, entries }) =>
            `allocations: [${entries}] was answered, the ledger has [${found.get(amount) ?? []}]`,
        );
      const [periods] = await postgres.sql<{ closed: number }>(
        `select count(*)::integer as closed from public.periods where closed_by = 'admin:admin'`,
      );
      const closed = periods?.closed ?? 0;
      if (closed < resets.acknowledged || closed > resets.acknowledged + resets.unknown) {
        wrong.push(`resets: ${resets.acknowledged} answered, ${resets.unknown} unknown, ${closed} found`);
      }
      return wrong;
    },
  };
}
