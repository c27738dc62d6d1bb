import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import tap from 'tap';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { FILE_TIMEOUT_S } from './processes.js';
import { setRoot, type Test } from './tap.js';

/*
 * Runs the test files it is sent as `{ test }`, one after the other, each as one test of this process, and answers each with what
 * `WorkerAnswer` says; ends when it is sent `{ end: true }`. Node needs longer to find and compile the packages than most files
 * take: it does that once here.
 */

/** Runs a compiled test file as a part of another test, and tells the parent what came of it. */
async function runTestFile(all: Test, test: string): Promise<void> {
  let counts = {};
  const result = await all.test(test, { timeout: FILE_TIMEOUT_S * 1_000 }, async (root) => {
    setRoot(root);
    root.teardown(() => {
      counts = root.counts.toJSON();
    });
    await import(pathToFileURL(join(PROJECT_ROOT, 'dist', test.replace(/\.ts$/, '.js'))).href);
  });
  process.send?.({ test, passed: result?.ok === true, counts });
}

// Each file has its time-out; the process that runs them has none. tap's root ends when it is idle: one test lasts until the
// parent closes the channel.
tap.setTimeout(0);
void tap.test('test files', { timeout: 0 }, async (all) => {
  process.on('message', ({ test }: { readonly test?: string }) => {
    if (test === undefined) process.disconnect();
    else void runTestFile(all, test);
  });
  process.channel?.ref();
  await once(process, 'disconnect');
});
