import { setTimeout as delay } from 'node:timers/promises';
import type { Findings } from './findings.js';
import { type LoadRequest, openAgent, percentileOf, sendOnce } from './open-loop.js';
import type { OverloadStage } from './stage.js';

/** Somebody who asks for more than is fair. */
interface Greedy {
  readonly name: string;
  readonly atOnce: number;
  readonly request: (stage: OverloadStage) => LoadRequest;
}

const BATCH = 1_000;
const BASE_CLIENTS = 8;
const PATIENCE_MS = 120_000;

function toBatch(): object {
  const now = Date.now();
  const use = { provider: 'claude', model: 'claude-opus-4.5', inputTokens: 10, outputTokens: 20 };
  return { events: Array.from({ length: BATCH }, (_, n) => ({ ...use, timestamp: now - n })) };
}

const GREEDY: readonly Greedy[] = [
  {
    name: '20 batches of 1,000 events of one account at a time',
    atOnce: 20,
    request: ({ user }) => ({ method: 'POST', path: '/api/usage', token: user.token, body: toBatch() }),
  },
  {
    name: '12 proofs of the books at a time',
    atOnce: 12,
    request: ({ adminToken }) => ({ method: 'GET', path: '/api/admin/ledger/verify', token: adminToken }),
  },
  {
    name: '30 exports and summaries of one account at a time',
    atOnce: 30,
    request: ({ user }) => ({ method: 'GET', path: '/api/users/me/export', token: user.token }),
  },
  {
    name: '12 CSV files of everybody’s uses at a time',
    atOnce: 12,
    request: ({ adminToken }) => ({
      method: 'GET',
      path: '/api/admin/usage.csv',
      token: adminToken,
    }),
  },
];

/** Has devices use the server, each use once the one before it is answered, and asks for readiness meanwhile. */
async function measureDebits({ url, devices }: OverloadStage, seconds: number) {
  const agent = openAgent();
  const times: number[] = [];
  const readiness: number[] = [];
  let [failed, unready] = [0, 0];
  const end = performance.now() + seconds * 1_000;
  const use = async (n: number) => {
    while (performance.now() < end) {
      const token = devices[n % devices.length]?.token ?? '';
      const asked = { method: 'POST', path: '/api/usage/log', token, body: { model_type: 'gpt-5' } } as const;
      const { ms, status } = await sendOnce(agent, url, asked, PATIENCE_MS);
      if (status === 200) times.push(ms);
      else failed += 1;
    }
  };
  const probe = async () => {
    while (performance.now() < end) {
      const { ms, status } = await sendOnce(agent, url, { method: 'GET', path: '/readyz' }, PATIENCE_MS);
      readiness.push(ms);
      if (status !== 200) unready += 1;
      await delay(250);
    }
  };
  await Promise.all([...Array.from({ length: BASE_CLIENTS }, (_, n) => use(n)), probe()]);
  await agent.destroy();
  const rate = times.length / seconds;
  return { rate, p50: percentileOf(times, 0.5), p99: percentileOf(times, 0.99), failed, unready, readiness };
}

async function measureBeside(stage: OverloadStage, greedy: Greedy, seconds: number) {
  const agent = openAgent();
  const statuses = new Map<string, number>();
  let isOver = false;
  const ask = async () => {
    while (!isOver) {
      const { status, saysWhen } = await sendOnce(agent, stage.url, greedy.request(stage), PATIENCE_MS);
      const name = String(status ?? 'none');
      statuses.set(name, (statuses.get(name) ?? 0) + 1);
      // As they are told to.
      if (saysWhen) await delay(1_000);
    }
  };
  const asking = Array.from({ length: greedy.atOnce }, ask);
  await delay(1_000);
  const debits = await measureDebits(stage, seconds);
  isOver = true;
  await Promise.all(asking);
  await agent.destroy();
  return { debits, statuses };
}

/** Measures what uses are left with beside one who asks for very much. */
export async function measureFairness(
  stage: OverloadStage,
  seconds: number,
  tell: (line: string) => void,
): Promise<Findings> {
  const alone = await measureDebits(stage, seconds);
  const describe = ({ rate, p50, p99, failed, unready, readiness }: typeof alone) =>
    `${rate.toFixed(0)} uses/s, p50 ${p50} ms, p99 ${p99} ms, ${failed} failed; /readyz p50 ${percentileOf(readiness, 0.5)} ms, longest ${percentileOf(readiness, 1)} ms, ${unready} not ready`;
  const lines = [`${BASE_CLIENTS} devices alone: ${describe(alone)}`];
  const violations: string[] = [];
  for (const greedy of GREEDY) {
    tell(`beside ${greedy.name}`);
    const { debits, statuses } = await measureBeside(stage, greedy, seconds);
    const answers = [...statuses].map(([status, count]) => `${count} × ${status}`).join(', ');
    lines.push(`beside ${greedy.name} (${answers}): ${describe(debits)}`);
    if (debits.rate === 0) violations.push(`uses were starved by ${greedy.name}`);
    if (debits.failed > 0) violations.push(`${debits.failed} uses failed beside ${greedy.name}`);
    if (debits.unready === debits.readiness.length) violations.push(`/readyz was not ready beside ${greedy.name}`);
    if ([...statuses.keys()].some((status) => !['200', '201', '429', '503'].includes(status))) {
      violations.push(`${greedy.name} were answered ${answers}`);
    }
  }
  return { lines, violations };
}
