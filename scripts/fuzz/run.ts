import fc from 'fast-check';
import { Agent, request } from 'undici';
import { UsageError } from '../command-line.js';
import { type Answer, createJudge } from './judge.js';
import { fillIn } from './known.js';
import { listOperations, type Operation } from './operations.js';
import type { FuzzOptions } from './options.js';
import { createParties, IDS, type Parties } from './parties.js';
import { type MadeUp, requestOf, SIGNED_BY_STRIPE } from './requests.js';
import type { FuzzStage } from './stage.js';

/** How long a stream that does not end by itself is read, in milliseconds. */
const STREAM_MS = 300;
const ANSWER_MS = 30_000;
/** How long a failure is made smaller, in milliseconds. */
const SHRINK_MS = 30_000;
/** Successes after which somebody may have no account, token or device any more. */
const ENDS_SOMETHING =
  /logout|users\/me$|password|verify-email|tracker|sessions|api-keys|second-factor|devices|admin\/(users|admins|invitations|second)|block|refresh|usage\/\{id\}/;

const isEndless = ({ path }: Operation) => path.endsWith('/sync/stream');

/** Sends a request and reads its answer. */
async function send(stage: FuzzStage, agent: Agent, operation: Operation, asked: MadeUp, by: Parties): Promise<Answer> {
  const token = by.tokens[asked.party];
  const body = asked.body === undefined ? undefined : fillIn(asked.body, by.known);
  const isSigned = operation.operationId === SIGNED_BY_STRIPE && asked.party !== 'forger';
  const answer = await request(`${stage.url}${fillIn(asked.path, by.known)}`, {
    dispatcher: agent,
    method: operation.method,
    headers: {
      ...asked.headers,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(body !== undefined && isSigned && { 'stripe-signature': stage.stripe.sign(body) }),
    },
    ...(body !== undefined && { body }),
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  const type = String(answer.headers['content-type'] ?? '');
  const chunks: Buffer[] = [];
  if (isEndless(operation) && answer.statusCode === 200) setTimeout(() => answer.body.destroy(), STREAM_MS);
  try {
    for await (const chunk of answer.body) chunks.push(Buffer.from(chunk));
  } catch (error) {
    if (!isEndless(operation)) throw error;
  }
  return { status: answer.statusCode, type, text: Buffer.concat(chunks).toString() };
}

function describe(operation: Operation, { party, path, body, headers }: MadeUp): string {
  const more = Object.keys(headers).length > 0 ? ` ${JSON.stringify(headers)}` : '';
  return `${operation.method} ${path} by ${party}${more}${body === undefined ? '' : ` with ${body.slice(0, 2_000)}`}`;
}

/** Chooses the operations that were asked for. @throws {UsageError} naming one that does not exist */
function choose(operations: readonly Operation[], names: readonly string[] | undefined): readonly Operation[] {
  return (
    names?.map((name) => {
      const found = operations.find(({ operationId }) => operationId === name);
      if (found === undefined) throw new UsageError(`There is no operation "${name}"; /openapi.json has their ids`);
      return found;
    }) ?? operations
  );
}

/** What came of it. */
export interface FuzzOutcome {
  /** What went wrong, the smallest request that showed it with it. */
  readonly failures: readonly string[];
  /** How many operations were answered how, in sentences. */
  readonly coverage: readonly string[];
}

type Statuses = ReadonlyMap<number, number>;

function describeCoverage(answered: ReadonlyMap<string, Statuses>): string[] {
  const percent = (count: number) =>
    `${count} of ${answered.size} operations (${Math.round((100 * count) / answered.size)} %)`;
  const without = (isSuch: (status: number) => boolean) =>
    [...answered].filter(([, statuses]) => ![...statuses.keys()].some(isSuch)).map(([id]) => id);
  const [neverDone, neverRefused] = [
    without((status) => status < 400),
    without((status) => status >= 400 && status < 500),
  ];
  return [
    `${percent(answered.size - neverDone.length)} did what was asked${neverDone.length > 0 ? `; never: ${neverDone.join(', ')}` : ''}`,
    `${percent(answered.size - neverRefused.length)} refused something${neverRefused.length > 0 ? `; never: ${neverRefused.join(', ')}` : ''}`,
  ];
}

/** Makes up requests of each operation and judges the answers. */
export async function runFuzz(
  stage: FuzzStage,
  options: FuzzOptions,
  tell: (line: string) => void,
): Promise<FuzzOutcome> {
  const document = (await stage.app.inject({ url: '/openapi.json' })).json<object>();
  const operations = choose(listOperations(document), options.operations);
  const openParties = createParties(stage);
  const judge = createJudge();
  const agent = new Agent({ connections: 4 });
  const failures: string[] = [];
  const answered = new Map<string, Statuses>();

  const fuzz = async (operation: Operation): Promise<string> => {
    const { operationId } = operation;
    const statuses = new Map<number, number>();
    let current: Parties | undefined;
    const property = fc.asyncProperty(requestOf(operation, IDS), async (asked) => {
      current ??= await openParties(operationId);
      const answer = await send(stage, agent, operation, asked, current);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (operation.method !== 'GET' && answer.status < 300 && ENDS_SOMETHING.test(operation.path)) current = undefined;
      const wrong = judge(operation, asked, answer);
      if (wrong !== undefined) throw new Error(`${wrong}: ${answer.text.slice(0, 500)}`);
    });
    const parameters = { seed: options.seed, numRuns: options.runs, markInterruptAsFailure: false };
    const details = await fc.check(property, {
      ...parameters,
      interruptAfterTimeLimit: SHRINK_MS + options.runs * 1_000,
    });
    if (details.failed) {
      const [asked] = details.counterexample ?? [];
      const reason = details.errorInstance instanceof Error ? details.errorInstance.message : 'no reason';
      failures.push(`${operationId}: ${asked === undefined ? '' : describe(operation, asked)}\n    ${reason}`);
    }
    answered.set(operationId, statuses);
    return [...statuses].map(([status, count]) => `${count} × ${status}`).join(', ');
  };

  for (const [index, operation] of operations.entries()) {
    const told = await fuzz(operation);
    tell(`${index + 1} of ${operations.length} ${operation.operationId}: ${told}`);
  }
  for (const wrong of await stage.verifyLedger()) failures.push(`the books: ${wrong}`);
  await agent.close();
  return { failures, coverage: describeCoverage(answered) };
}
