import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const { app } = await openTestServer(t);
const get = (url: string) => app.inject({ url });

/** Every file the page loads, and what those load in turn. */
async function loadedFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const load = async (path: string) => {
    if (files.has(path)) return;
    const response = await get(path);
    t.equal(response.statusCode, 200, path);
    files.set(path, response.payload);
    const pattern = path.endsWith('.js') ? /\bfrom ["'](\.\/[^"']+)["']/g : /(?:src|href)="(dashboard\/[^"]+)"/g;
    for (const [, target] of response.payload.matchAll(pattern)) {
      await load(new URL(target ?? '', `http://localhost${path}`).pathname);
    }
  };
  await load('/dashboard');
  return files;
}

t.test('everything the page loads is beside it, and nothing is inline or from elsewhere', async (t) => {
  const files = await loadedFiles();
  t.ok(files.size > 20, `${files.size} files`);
  for (const [path, content] of files) {
    if (path.endsWith('/uplot.js')) continue;
    t.notMatch(content, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, path);
    t.notMatch(content.replace('http://www.w3.org/2000/svg', ''), /https?:\/\/\w/, path);
  }
  const page = files.get('/dashboard') ?? '';
  t.notMatch(page, /<script(?! type="module" src=")|<style|style=|\son\w+=/i);
});

t.test('the page is under the policy of all pages, and is kept by nobody', async (t) => {
  const { headers } = await get('/dashboard');
  t.match(headers, { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
  t.match(headers['content-security-policy'], "default-src 'none'; script-src 'self'; style-src 'self'");
  t.notMatch(headers['content-security-policy'], 'unsafe');
});

t.test('the chart library comes with its notice', async (t) => {
  const library = await get('/dashboard/uplot.js');
  t.match(library.headers['content-type'], 'text/javascript');
  t.match(library.payload.slice(0, 200), /Copyright.*Leon Sorokin[\s\S]*MIT/);
});

t.end();
