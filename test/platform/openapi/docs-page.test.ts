import { get, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { browserMissing, openBrowser, openPage } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const url = await server.listen();

/** Gets a path as it is on the wire: \`fetch\` would unpack it. */
async function getRaw(path: string, encoding: string) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${url}${path}`, { headers: { 'accept-encoding': encoding, origin: 'https://example.com' } }, resolve).on(
      'error',
      reject,
    );
  });
  return { headers: response.headers, status: response.statusCode, body: await buffer(response) };
}

t.test('the page and the document are compressed for those that take it, each time', async (t) => {
  const paths = ['/openapi.json', '/docs', '/docs/', '/docs/json', '/docs/static/swagger-ui-bundle.js'];
  for (const path of paths) {
    const plain = await getRaw(path, 'identity');
    t.equal(plain.status, 200, path);
    t.notOk(plain.headers['content-encoding'], path);
    t.match(plain.headers.vary, /accept-encoding/, path);
    for (const encoding of ['gzip, deflate, br', 'br;q=0.9, GZIP;q=0.5', '*']) {
      const { headers, body } = await getRaw(path, encoding);
      t.equal(headers['content-encoding'], 'gzip', `${path} for ${encoding}`);
      t.match(headers.vary, /accept-encoding/);
      t.strictSame(gunzipSync(body), plain.body, path);
      if (plain.body.length > 10_000) t.ok(body.length < plain.body.length / 2, `${path}: ${body.length} bytes`);
    }
    for (const encoding of ['gzip;q=0', 'gzip; q=0.000, br', 'br', 'x-gzip2']) {
      t.notOk((await getRaw(path, encoding)).headers['content-encoding'], `${path} for ${encoding}`);
    }
  }
});

t.test('what has not changed or is not there is no file to compress', async (t) => {
  const path = '/docs/static/swagger-ui.css';
  const { etag = '' } = (await getRaw(path, 'gzip')).headers;
  const known = await server.app.inject({ url: path, headers: { 'if-none-match': etag, 'accept-encoding': 'gzip' } });
  t.equal(known.statusCode, 304);
  t.notOk(known.headers['content-encoding']);
  const missing = await server.app.inject({ url: '/docs/static/none.js', headers: { 'accept-encoding': 'gzip' } });
  t.equal(missing.statusCode, 404);
  t.equal(missing.json<{ code: string }>().code, 'NOT_FOUND');
});

t.test('the page is named after this server, without a logo of others', async (t) => {
  const page = (await server.app.inject({ url: '/docs/' })).payload;
  t.match(page, '<title>Tokenledger API</title>');
  const [, icon = ''] = /<link rel="icon"[^>]* href="([^"]+)"/.exec(page) ?? [];
  const { pathname } = new URL(icon, 'http://localhost/docs/');
  t.match((await server.app.inject({ url: pathname })).payload, '<title>Tokenledger</title>');
});

t.test('in a browser it opens with the devices, and a request can be made', { skip: browserMissing }, async (t) => {
  const { page, complaints, requests } = await openPage(t, await openBrowser(t));
  await page.goto(`${url}/docs`);
  await page.locator('.opblock').first().waitFor();
  t.equal(await page.title(), 'Tokenledger API');
  t.equal(await page.locator('.topbar, .download-url-wrapper, input.download-url-input').count(), 0, 'no URL box');
  t.equal(await page.locator('.opblock-tag').first().getAttribute('data-tag'), 'Devices');
  t.match(await page.locator('.opblock').first().textContent(), '/api/devices/register');

  await page.locator('#operations-Health-getHealth button.opblock-summary-control').click();
  await page.locator('#operations-Health-getHealth button.execute').click();
  t.match(await page.locator('#operations-Health-getHealth .live-responses-table').textContent(), '"status": "ok"');
  t.strictSame(complaints, [], 'nothing in the console');
  t.ok(
    requests.every((request) => request.includes(` ${url}/`) || request.includes(' data:')),
    'no request to another host',
  );
});

t.end();
