import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { FAST_TESTS } from '../helpers/run/fast-tests.js';
import t from '../helpers/run/tap.js';

t.test('every test that "npm run test:fast" names is there', async (t) => {
  for (const test of FAST_TESTS) await t.resolves(access(join(PROJECT_ROOT, test)), test);
});
