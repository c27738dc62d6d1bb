import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';
import { toConfigurationPage, toEnvironmentExample } from './describe-configuration.js';

// npm run configuration: writes what is generated from the environment's schema.
await runCommandLine('Usage: npm run configuration (writes .env.example and docs/configuration.md)', async (args) => {
  parseCommandLine(args, {});
  await writeFile(join(PROJECT_ROOT, '.env.example'), toEnvironmentExample());
  await writeFile(join(PROJECT_ROOT, 'docs/configuration.md'), toConfigurationPage());
});
