import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { toConfigurationPage, toEnvironmentExample } from './describe-configuration.js';

// npm run configuration: writes what is generated from the environment's schema.
await writeFile(join(PROJECT_ROOT, '.env.example'), toEnvironmentExample());
await writeFile(join(PROJECT_ROOT, 'docs/configuration.md'), toConfigurationPage());
