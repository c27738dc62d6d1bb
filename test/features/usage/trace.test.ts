import { createReadStream, existsSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { json } from 'node:stream/consumers';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import pLimit from 'p-limit';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { createUsage, type SentUsage } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';

const TRACE = join(PROJECT_ROOT, '../shared/data/azure-llm-code-trace-2023.csv');
const TOTALS = { events: 8_819, input_tokens: 18_059_974, output_tokens: 245_896, total_tokens: 18_305_870 };
const DAY_MS = 24 * 60 * 60 * 1_000;

const AnswerSchema = Type.Object({ id: Type.String(), duplicate: Type.Boolean() });
interface Row {
  readonly user: TestUser;
  readonly event: SentUsage;
}

/** Reads the trace as events of yesterday, at its own times of day, given to the users in turn. */
async function readTrace(users: readonly TestUser[]): Promise<Row[]> {
  const rows: Row[] = [];
  let shift: number | undefined;
  for await (const line of createInterface({ input: createReadStream(TRACE) })) {
    const [, second, milliseconds, input, output] = /^(\S+ \S+)\.(\d{3})\d*,(\d+),(\d+)$/.exec(line) ?? [];
    if (second === undefined) continue;
    const at = Date.parse(`${second.replace(' ', 'T')}.${milliseconds}Z`);
    shift ??= (Math.floor(Date.now() / DAY_MS) - Math.floor(at / DAY_MS) - 1) * DAY_MS;
    const user = users[rows.length % users.length];
    if (user === undefined) throw new Error('there are no users');
    const [inputTokens, outputTokens] = [Number(input), Number(output)];
    rows.push({ user, event: createUsage({ provider: 'claude', inputTokens, outputTokens, timestamp: at + shift }) });
  }
  return rows;
}

const server = await openTestServer(t);
const url = new URL('/api/usage', await server.listen());
const agent = new Agent({ keepAlive: true });
t.after(() => agent.destroy());

function open({ user, event }: Row, connections: Agent | false) {
  const body = JSON.stringify(event);
  const headers = { authorization: `Bearer ${user.token}`, 'content-type': 'application/json' };
  const sent = request(url, { method: 'POST', headers, agent: connections });
  sent.end(body);
  return sent;
}

/** Sends an event and reads the answer. */
async function send(row: Row): Promise<{ status: number | undefined; id: string; duplicate: boolean }> {
  return new Promise((resolve, reject) => {
    open(row, agent)
      .once('error', reject)
      .once('response', async (response) => {
        const { id, duplicate } = Value.Decode(AnswerSchema, await json(response));
        resolve({ status: response.statusCode, id, duplicate });
      });
  });
}

/** Sends an event and destroys the connection, once everything is sent or before the answer is read. */
async function cut(row: Row, moment: 'finish' | 'response'): Promise<void> {
  await new Promise<void>((resolve) => {
    const sent = open(row, false);
    sent.once('error', () => {});
    sent.once('close', () => resolve());
    sent.once(moment, () => sent.destroy());
  });
}

t.test(
  'an hour of real requests by 25 users, some repeated, some cut off and sent again, is counted exactly',
  { skip: existsSync(TRACE) ? false : 'the trace ../shared/data/azure-llm-code-trace-2023.csv is not there' },
  async (t) => {
    const users: TestUser[] = [];
    for (let n = 0; n < 25; n += 1) users.push(await registerUser(server));
    const rows = await readTrace(users);
    t.equal(rows.length, TOTALS.events);
    const contents = rows.map(({ user, event }) => JSON.stringify([user.id, event]));
    t.equal(new Set(contents).size, rows.length, 'no two of them say the same of one user, so each is an event');

    const limit = pLimit(48);
    const ids = new Set<string>();
    let [duplicates, told] = [0, 0];
    const answered = async (row: Row) => {
      const { status, id, duplicate } = await send(row);
      if (status !== (duplicate ? 200 : 201)) t.fail(`answered ${status}`);
      ids.add(id);
      duplicates += duplicate ? 1 : 0;
      told += 1;
    };
    await Promise.all(
      rows.map((row, n) =>
        limit(async () => {
          if (n % 20 === 7) await cut(row, n % 40 === 7 ? 'finish' : 'response');
          await answered(row);
          if (n % 10 === 3) await answered(row);
        }),
      ),
    );
    t.equal(told, TOTALS.events + 882, 'every request but those cut off was answered');
    t.equal(ids.size, TOTALS.events);
    t.ok(duplicates >= 882 + 220, `many of the 441 cut requests had been recorded: ${duplicates - 882}`);

    const [sums] = await server.database.sql(
      `select count(*)::integer as events, sum(input_tokens)::integer as input_tokens,
              sum(output_tokens)::integer as output_tokens, sum(total_tokens)::integer as total_tokens from usage_events`,
    );
    t.strictSame(sums, TOTALS);
    const admin = await logInAsAdmin(server);
    for (const tz of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu']) {
      const all = await admin.as('GET', `/api/admin/usage/summary?tz=${tz}&group_by=day,user`);
      t.match(all.json(), { totals: TOTALS, time_zone: tz });
      const own = await Promise.all(users.map((user) => user.as('GET', `/api/usage/summary?tz=${tz}&group_by=day`)));
      const total = own.map((response) => response.json<{ totals: { total_tokens: number } }>().totals.total_tokens);
      t.equal(
        total.reduce((sum, tokens) => sum + tokens, 0),
        TOTALS.total_tokens,
        `what each is told of themselves adds up in ${tz}`,
      );
    }
    await server.verifyLedger(t);
  },
);

t.end();
