import { registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const user = await registerUser(server);

const post = (url: string, payload: object) => server.app.inject({ method: 'POST', url, payload });

t.test('a base URL may end in any number of slashes, with the prefix or without, and so may a path', async (t) => {
  const bases = ['', '/', '//', '/api', '/api/', '//api', '/api//', '//api///'];
  for (const base of bases) {
    for (const path of ['/auth/login', '//auth/login', '/auth/login/', '/auth//login//', '/auth/login/?a=/b//']) {
      t.match((await post(`${base}${path}`, {})).json(), { code: 'VALIDATION_FAILED' }, `${base}${path}`);
    }
  }
});

t.test('parameters, queries and methods keep their meaning', async (t) => {
  const device = await server.registerDevice();
  for (const url of [`/api//devices/${device.id}/tokens/`, `//devices//${device.id}//tokens`]) {
    t.equal((await server.as(device, 'GET', url)).statusCode, 200, url);
  }
  t.equal((await user.as('GET', '//usage/?limit=1')).statusCode, 200);
  const wrongMethod = await server.app.inject({ method: 'GET', url: '//api//auth/login/' });
  t.equal(wrongMethod.statusCode, 405);
  t.equal(wrongMethod.headers['allow'], 'POST');
});

t.test('what is not of the API is still found at the root only', async (t) => {
  for (const url of ['/healthz', '//healthz', '/healthz/', '/docs', '/docs/', '//docs//', '/openapi.json/']) {
    t.equal((await server.app.inject(url)).statusCode, 200, url);
  }
  for (const url of ['/dashboard/', '//dashboard', '/dashboard//?a=//b']) {
    const { statusCode, headers } = await server.app.inject(url);
    t.strictSame([statusCode, headers['location']], [308, url.includes('?') ? '/dashboard?a=//b' : '/dashboard'], url);
  }
  for (const url of ['/api/healthz', '//api//healthz/', '/api//dashboard']) {
    t.equal((await server.app.inject(url)).statusCode, 404, url);
  }
});

t.end();
