import { rm, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { PROJECT_ROOT } from '../src/platform/project-root.js';
import { compile, listFiles } from './helpers/run/compile.js';
import { FAST_TESTS } from './helpers/run/fast-tests.js';
import { findMemoryFolder } from './helpers/run/memory-folder.js';
import { runNode } from './helpers/run/processes.js';
import { runTestFiles } from './helpers/run/run-test-files.js';

/*
 * The test commands of package.json; the arguments are
 *   all                     every test
 *   fast                    the tests of `FAST_TESTS`
 *   some <file or folder…>  these tests
 *   one <file or folder…>   these tests one after the other, with all they print
 */

/** Returns the test files that a file stands for, or a folder of some. */
async function findTests(path: string): Promise<string[]> {
  const files = (await stat(path)).isDirectory() ? await listFiles(path, '.test.ts') : [path];
  return files.map((file) => relative(PROJECT_ROOT, file));
}

async function runEach(tests: readonly string[]): Promise<boolean> {
  let passed = true;
  for (const test of tests) {
    const code = await runNode([join('dist', test.replace(/\.ts$/, '.js'))]);
    passed &&= code === 0;
  }
  return passed;
}

const [command, ...args] = process.argv.slice(2);
const paths = command === 'all' ? ['test'] : command === 'fast' ? FAST_TESTS : args;
const tests = (await Promise.all(paths.map(findTests))).flat();
if (tests.length === 0) throw new Error('name a test file or a folder of tests');

// What was compiled from a source that is gone must not hide that it is missing.
if (command !== 'one') await rm(join(PROJECT_ROOT, 'dist'), { recursive: true, force: true });
const folder = process.env['TMPDIR'] ?? (await findMemoryFolder());
if (folder !== undefined) process.env['TMPDIR'] = folder;
await compile();
if ((await runNode(['scripts/build/build-pages.js'])) !== 0) throw new Error('the pages cannot be bundled');
const passed = await (command === 'one' ? runEach(tests) : runTestFiles(tests));
process.exitCode = passed ? 0 : 1;
