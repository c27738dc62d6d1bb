import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

/*
 * node examples/chrome-extension/build.js [--server URL] [--pages PATTERN]... [--out FOLDER]
 */
const here = import.meta.dirname;
const { values } = parseArgs({
  options: {
    server: { type: 'string', default: 'http://127.0.0.1:3000' },
    // Where prompts are counted: match patterns, https://developer.chrome.com/docs/extensions/develop/concepts/match-patterns
    pages: { type: 'string', multiple: true, default: ['http://127.0.0.1/*'] },
    out: { type: 'string', default: join(here, 'dist') },
  },
});

await mkdir(values.out, { recursive: true });
await build({
  entryPoints: ['background', 'content', 'popup'].map((name) => join(here, 'src', `${name}.ts`)),
  outdir: values.out,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'chrome116',
  tsconfig: join(here, 'tsconfig.json'),
  define: { SERVER_URL: JSON.stringify(values.server) },
  logLevel: 'warning',
});

const manifest = JSON.parse(await readFile(join(here, 'manifest.json'), 'utf8'));
manifest.content_scripts[0].matches = values.pages;
// What runs is the extension's own, and it talks to the server alone.
manifest.content_security_policy.extension_pages = `default-src 'none'; script-src 'self'; style-src 'self'; connect-src ${new URL(values.server).origin}`;
await writeFile(join(values.out, 'manifest.json'), JSON.stringify(manifest, null, 2));
for (const file of ['popup.html', 'popup.css']) await cp(join(here, file), join(values.out, file));
