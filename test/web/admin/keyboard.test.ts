import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { doEveryTask } from '../../helpers/web/admin/every-task.js';
import { openKeyboard } from '../../helpers/web/hands.js';
import { openView } from '../../helpers/web/view.js';

t.test('every task of an admin with the keyboard alone', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const watched = await openView(t, await openBrowser(t));
  const hidden: string[] = [];
  await doEveryTask(t, server, url, await openKeyboard(watched.page, 'en', (what) => hidden.push(what)));
  t.strictSame(hidden, [], 'everything shows that it has the focus');
  t.strictSame(watched.complaints, []);
});

t.end();
