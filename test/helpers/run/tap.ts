import tap, { type Test } from 'tap';

export type { Test } from 'tap';

/** The test that stands for the running test file: tap's own root where the file runs in a process of its own. */
let t: Test = tap;

export { t as default };

/** Makes a test the root of the test file that is loaded next. */
export function setRoot(root: Test): void {
  t = root;
}
