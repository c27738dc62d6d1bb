import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { answers, findFreePort } from './ports.js';

/** The nginx before all servers. */
export interface Balancer {
  readonly port: number;
  readonly close: () => Promise<void>;
}

/** Starts nginx as `scripts/deploy/nginx.conf` says. @param ports where three servers listen */
export async function openBalancer(ports: readonly number[]): Promise<Balancer> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-chaos-nginx-'));
  const port = await findFreePort();
  const file = await readFile(join(PROJECT_ROOT, 'scripts/deploy/nginx.conf'), 'utf8');
  const servers = ports
    .reduce((text, own, n) => text.replace(`127.0.0.1:${3_001 + n}`, `127.0.0.1:${own}`), file)
    .replace('listen [::]:80;', '')
    .replace('listen 80;', `listen 127.0.0.1:${port};`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path temp;`);
  const head = 'daemon off; master_process off; pid nginx.pid; error_log error.log; events {}';
  await writeFile(join(directory, 'nginx.conf'), `${head} http { access_log off; ${temporary.join(' ')} ${servers} }`);
  const child = spawn('nginx', ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'error.log'], {
    cwd: directory,
    stdio: 'ignore',
  });
  while (!(await answers(port))) await delay(20);
  return {
    port,
    close: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
