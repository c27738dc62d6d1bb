import { SingleBar } from 'cli-progress';
import type { OnStep } from './run-case.js';

/** Shows how far a benchmark is. */
export interface Progress {
  readonly onStep: OnStep;
  /** Removes what is drawn, so that something else can be printed. */
  readonly clear: () => void;
}

/** Shows progress with a bar on a terminal, with a line for each step elsewhere. */
export function createProgress(output: NodeJS.WriteStream): Progress {
  if (!output.isTTY) return { onStep: (step) => void output.write(`${step}\n`), clear: () => {} };
  const options = { format: '{bar} {step}', stream: output, barsize: 30, clearOnComplete: true, gracefulExit: false };
  let bar: SingleBar | undefined;
  return {
    onStep: (step, done, total) => {
      if (bar === undefined) {
        bar = new SingleBar({ ...options, barCompleteChar: '█', barIncompleteChar: '░' });
        bar.start(total, done, { step });
      } else bar.update(done, { step });
    },
    clear: () => {
      bar?.stop();
      bar = undefined;
    },
  };
}
