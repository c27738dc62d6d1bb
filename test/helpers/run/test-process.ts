import { once } from 'node:events';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { SHARED_CLUSTER_VARIABLE } from '../db/shared-cluster.js';
import { FILE_TIMEOUT_S, startNode } from './processes.js';

/** Later than tap gives up and tells which test it was. */
const KILL_TIMEOUT_MS = (FILE_TIMEOUT_S + 10) * 1_000;
/** How long a process may live on after its last file: longer means that a file left something open. */
const EXIT_TIMEOUT_MS = 20_000;

const CountSchema = Type.Optional(Type.Integer());
const WorkerAnswerSchema = Type.Object({
  test: Type.String(),
  passed: Type.Boolean(),
  counts: Type.Object({ pass: CountSchema, fail: CountSchema, skip: CountSchema }),
});
type WorkerAnswer = Static<typeof WorkerAnswerSchema>;

/** What a test file did and printed; `answer` is undefined where its process died or was stopped. */
export interface FileRun {
  readonly answer: WorkerAnswer | undefined;
  readonly report: string;
}

/** A process that runs test files one after the other. */
export interface TestProcess {
  /** Runs a file. It must not be called again before the last run has ended. */
  run(test: string): Promise<FileRun>;
  /** Lets the process end. @returns whether it did so by itself */
  end(): Promise<boolean>;
  readonly alive: boolean;
}

/** Tells whether tap has printed the line that a file ends with. */
function isComplete(printed: string, test: string): boolean {
  return printed.split('\n').some((line) => /^ {4}(not )?ok \d/.test(line) && line.includes(` - ${test}`));
}

/** Starts a process for test files over the Postgres of the run. */
export function startTestProcess(clusterUrl: string): TestProcess {
  const helpers = './dist/test/helpers/run';
  const child = startNode(
    ['--import', `${helpers}/without-async-hooks.js`, `${helpers}/worker.js`],
    ['ignore', 'pipe', 'pipe', 'ipc'],
    {
      [SHARED_CLUSTER_VARIABLE]: clusterUrl,
    },
  );
  const closed = once(child, 'close');
  let alive = true;
  let printed = '';
  let check = () => {};
  const collect = (chunk: Buffer) => {
    printed += chunk.toString();
    check();
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  void closed.then(() => {
    alive = false;
    check();
  });

  const run = (test: string) =>
    new Promise<FileRun>((resolve) => {
      let answer: WorkerAnswer | undefined;
      const timeout = setTimeout(() => child.kill('SIGKILL'), KILL_TIMEOUT_MS);
      const onMessage = (message: unknown) => {
        if (!Value.Check(WorkerAnswerSchema, message) || message.test !== test) return;
        answer = message;
        check();
      };
      check = () => {
        // The pipe may be read after the message.
        if (alive && (answer === undefined || !isComplete(printed, test))) return;
        check = () => {};
        clearTimeout(timeout);
        child.off('message', onMessage);
        resolve({ answer, report: printed });
        printed = '';
      };
      child.on('message', onMessage);
      if (!alive) return check();
      child.send({ test });
    });

  const end = async () => {
    if (!alive) return true;
    const timeout = setTimeout(() => child.kill('SIGKILL'), EXIT_TIMEOUT_MS);
    child.send({ end: true });
    const [, signal] = await closed;
    clearTimeout(timeout);
    return signal === null;
  };
  return {
    run,
    end,
    get alive() {
      return alive;
    },
  };
}
