import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import t from '../helpers/run/tap.js';

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const FILES: Readonly<Record<string, string>> = {
  'package.json': '{ "type": "module" }',
  'tsconfig.json':
    '{ "compilerOptions": { "rootDir": ".", "outDir": "dist", "types": [], "module": "nodenext", "skipLibCheck": true } }',
  'tsconfig.build.json': '{ "extends": "./tsconfig.json", "include": ["src/*.ts"] }',
  'src/server.ts': "console.log('started');",
  'src/other.ts': 'export {};',
  'src/web/tsconfig.json':
    '{ "compilerOptions": { "noEmit": true, "types": [], "lib": ["ES2023", "DOM"], "skipLibCheck": true, "jsx": "react-jsx" }, "include": ["*/*.ts", "*/*.tsx"] }',
  'src/client/tsconfig.json':
    '{ "extends": "../../tsconfig.json", "compilerOptions": { "rootDir": "../..", "outDir": "../../dist", "declaration": true } }',
  'src/client/client.ts': 'export const client = 1;',
  'src/web/foundation/page.html': '{{styles}}<script src="{{before}}"></script><script src="{{script}}"></script>',
  'src/web/foundation/before-page.ts': 'document.title = "theme";',
  'src/web/foundation/icon.svg': '<svg/>',
  'src/web/start/main.tsx': "document.title = 'start';",
  'src/web/dashboard/main.ts': 'export {};',
};
// Elsewhere than this project, whose node_modules would be found from any folder below it.
const project = await mkdtemp(join(tmpdir(), 'tokenledger-build-'));
t.after(() => rm(project, { recursive: true }));
const inProject = (path: string) => join(project, path);

function start(): Promise<Result> {
  return new Promise((resolve) => {
    execFile(process.execPath, [inProject('scripts/build/start.js')], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : 1, stdout, stderr }),
    );
  });
}

const started = (stderr: string): Result => ({ code: 0, stdout: 'started\n', stderr });

for (const [path, content] of Object.entries(FILES)) {
  await mkdir(dirname(inProject(path)), { recursive: true });
  await writeFile(inProject(path), content);
}
await cp(join(PROJECT_ROOT, 'scripts/build'), inProject('scripts/build'), { recursive: true });

t.test('with nothing built and no compiler there is a sentence', async (t) => {
  const { code, stderr } = await start();
  t.equal(code, 1);
  t.match(stderr, /TypeScript is not installed: run "npm ci"/);
  t.notMatch(stderr, /^\s+at /m);
});

t.test('the first start builds and says so, the next ones start what is there', async (t) => {
  await symlink(join(PROJECT_ROOT, 'node_modules'), inProject('node_modules'));
  t.strictSame(await start(), started('Building… (first start only)\n'));
  const page = await readFile(inProject('dist/pages/start.html'), 'utf8');
  t.match(page, /^<script src="assets\/before-\w{8}\.js"><\/script><script src="assets\/start-\w{8}\.js"><\/script>$/);
  for (const [, script = ''] of page.matchAll(/src="([^"]+)"/g)) {
    for (const ending of ['', '.gz', '.br'])
      t.ok(existsSync(inProject(`dist/pages/${script}${ending}`)), 'with the page');
  }
  t.match(await readFile(inProject('dist/pages/assets/licences.txt'), 'utf8'), /preact[\s\S]+uplot[\s\S]+Leon Sorokin/);
  t.ok(existsSync(inProject('dist/src/client/client.d.ts')), 'the client has its types');
  t.strictSame(await start(), started(''));

  const later = new Date(Date.now() + 60_000);
  for (const path of ['src/server.ts', 'tsconfig.json']) await utimes(inProject(path), later, later);
  t.strictSame(await start(), started(''), 'as in a copy, where the sources look newer');
});

t.test('changed and removed sources are built again', async (t) => {
  await writeFile(inProject('src/server.ts'), "console.log('started');\nconsole.log('again');\n");
  await rm(inProject('src/other.ts'));
  t.strictSame(await start(), {
    code: 0,
    stdout: 'started\nagain\n',
    stderr: 'Building, as the sources have changed…\n',
  });
  t.notOk(existsSync(inProject('dist/src/other.js')), 'what came from a removed source is gone');
});

t.test('what does not compile is not started', async (t) => {
  await writeFile(inProject('src/server.ts'), "const n: number = 'text';\nconsole.log(n);\n");
  const { code, stdout, stderr } = await start();
  t.equal(code, 1);
  t.match(stdout, /src\/server\.ts\(1,7\): error TS2322/);
  t.match(stderr, /The sources do not compile\n$/);
  await writeFile(inProject('src/server.ts'), "console.log('started');\n");
  t.equal((await start()).code, 0);
});

t.test('without a compiler, or without sources, the last build is started', async (t) => {
  await rm(inProject('node_modules'));
  await mkdir(inProject('node_modules'));
  t.strictSame(await start(), started(''));
  await writeFile(inProject('src/server.ts'), "console.log('newer');\n");
  const { stdout, stderr } = await start();
  t.equal(stdout, 'started\n');
  t.match(stderr, /^The sources have changed since the last build, but TypeScript is not installed/);
  await rm(inProject('src'), { recursive: true });
  t.strictSame(await start(), started(''), 'as in the Docker image');
});

t.end();
