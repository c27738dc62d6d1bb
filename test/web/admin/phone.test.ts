import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { doEveryTask } from '../../helpers/web/admin/every-task.js';
import { openPointer } from '../../helpers/web/hands.js';
import { assertAccessible, openView } from '../../helpers/web/view.js';

t.test('every task of an admin with a finger, in German on a dark phone', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const watched = await openView(t, await openBrowser(t), { german: true, dark: true, phone: true });
  await doEveryTask(t, server, url, await openPointer(watched.page, 'de'));
  await assertAccessible(t, watched, 'the sign-in after all of it');
});

t.end();
