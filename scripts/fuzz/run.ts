import fc from 'fast-check';
import { Agent, request } from 'undici';
import { UsageError } from '../command-line.js';
import { type Answer, createJudge } from './judge.js';
import { listOperations, type Operation } from './operations.js';
import type { FuzzOptions } from './options.js';
import { createParties, type Parties } from './parties.js';
import { type MadeUp, requestOf } from './requests.js';
import type { FuzzStage } from './stage.js';

/** How long a stream that does not end by itself is read, in milliseconds. */
const STREAM_MS = 300;
const ANSWER_MS = 30_000;
/** How long a failure is made smaller, in milliseconds. */
const SHRINK_MS = 30_000;
/** Successes after which somebody may have no account, token or device any more. */
const ENDS_SOMETHING = /logout|users\/me$|password|tracker|sessions|api-keys|devices|admin\/users|block|refresh/;

const isEndless = ({ path }: Operation) => path.endsWith('/sync/stream');

/** Sends a request and reads its answer. */
async function send(url: string, agent: Agent, operation: Operation, asked: MadeUp, token?: string): Promise<Answer> {
  const answer = await request(`${url}${asked.path}`, {
    dispatcher: agent,
    method: operation.method,
    headers: {
      ...asked.headers,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(asked.body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(asked.body !== undefined && { body: asked.body }),
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

/**
 * Makes up requests of each operation and judges the answers.
 * @returns what went wrong, the smallest request that showed it with it
 */
export async function runFuzz(stage: FuzzStage, options: FuzzOptions, tell: (line: string) => void): Promise<string[]> {
  const document = (await stage.app.inject({ url: '/openapi.json' })).json<object>();
  const operations = choose(listOperations(document), options.operations);
  const openParties = createParties(stage.app, stage.adminPassword);
  const judge = createJudge();
  const agent = new Agent({ connections: 4 });
  const failures: string[] = [];

  const fuzz = async (operation: Operation, parties: Parties): Promise<string> => {
    const statuses = new Map<number, number>();
    let current: Parties | undefined = parties;
    const property = fc.asyncProperty(requestOf(operation, parties.ids), async (asked) => {
      current ??= await openParties();
      const answer = await send(stage.url, agent, operation, asked, current.tokens[asked.party]);
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
      failures.push(
        `${operation.operationId}: ${asked === undefined ? '' : describe(operation, asked)}\n    ${reason}`,
      );
    }
    return [...statuses].map(([status, count]) => `${count} × ${status}`).join(', ');
  };

  for (const [index, operation] of operations.entries()) {
    const told = await fuzz(operation, await openParties());
    tell(`${index + 1} of ${operations.length} ${operation.operationId}: ${told}`);
  }
  for (const wrong of await stage.verifyLedger()) failures.push(`the books: ${wrong}`);
  await agent.close();
  return failures;
}
