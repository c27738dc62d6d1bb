import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

/*
 * node examples/vscode-extension/build.js [--out FILE]
 */
const here = import.meta.dirname;
const { values } = parseArgs({ options: { out: { type: 'string', default: join(here, 'dist/extension.cjs') } } });

await build({
  entryPoints: [join(here, 'src/extension.ts')],
  outfile: values.out,
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  // VS Code has it for its extensions.
  external: ['vscode'],
  tsconfig: join(here, 'tsconfig.json'),
  logLevel: 'warning',
});
