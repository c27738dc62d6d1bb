import { readRows, settle } from '../console.js';
import { searchFor } from '../hands.js';
import { keepScreenshot } from '../view.js';
import type { Tasks } from './task.js';

/** What admins do with devices, one by one and many at once. */
export const DEVICE_TASKS: Tasks = {
  'the books are verified, and an alert leads to its device': async (
    { goTo, press, sees, say, page },
    { device },
    t,
  ) => {
    await goTo(say('admin.nav.overview'));
    await press(say('admin.books.verify'));
    await sees(new RegExp(`^${say('admin.books.allOk', { time: '.+' })}$`));
    t.match((await readRows(page, say('admin.alerts.recent')))[0], [device]);
    await press(say('admin.alerts.all'));
    await page.getByRole('heading', { level: 1, name: say('admin.nav.webhooks') }).waitFor();
    await settle(page);
    await press(device);
    await page.getByRole('heading', { level: 1, name: device }).waitFor();
    await settle(page);
  },
  'a device is found, given tokens, and that is undone': async (hands, { device }, t) => {
    const { goTo, fill, press, sees, say, page } = hands;
    await goTo(say('admin.nav.devices'));
    await searchFor(hands, device);
    await sees(say('admin.devices.count', { count: 1 }));
    await press(device);
    await page.getByRole('heading', { level: 1, name: device }).waitFor();
    await settle(page);
    await press(say('admin.moves.open'));
    await fill(say('admin.moves.tokens'), '25');
    await press(say('admin.moves.submit.give'));
    await sees(say('admin.moves.done'));
    t.match(await readRows(page, say('admin.moves.left')), [[device, '1', '26']]);
    await press(say('admin.moves.undo'));
    await sees(say('admin.moves.undone'));
  },
  'it is renamed, blocked, let go on and its token ended': async ({ fill, press, sees, say }, { device }) => {
    const name = `${device} 2`;
    await press(say('admin.devices.rename'));
    await fill(say('admin.devices.name'), name);
    await press(say('admin.save'));
    await sees(say('admin.devices.said.rename', { name }));
    for (const act of ['block', 'unblock', 'rotate'] as const) {
      await press(say(`admin.devices.${act}`));
      await press(say(`admin.devices.${act}`));
      await sees(say(`admin.devices.said.${act}`, { name }));
    }
  },
  'it is removed when its name is typed': async ({ fill, press, sees, say, page }, { device }) => {
    const name = `${device} 2`;
    await press(say('admin.devices.remove'));
    await fill(say('common.typeToConfirm', { word: name }), name);
    await press(say('admin.devices.remove'));
    await sees(say('admin.devices.said.remove', { name, tokens: '1' }));
    await page.getByRole('heading', { level: 1, name: say('admin.devices.title') }).waitFor();
    await settle(page);
  },
  'some are given tokens after a preview': async (hands, { word }, t) => {
    const { goTo, fill, press, tick, sees, say, page } = hands;
    await goTo(say('admin.nav.devices'));
    await searchFor(hands, `${word} rest`);
    await sees(say('admin.devices.count', { count: 3 }));
    await tick(say('admin.bulk.selectOne', { name: `${word} rest 1` }));
    await tick(say('admin.bulk.selectOne', { name: `${word} rest 2` }));
    await sees(say('admin.bulk.selected', { count: 2 }));
    await press(say('admin.devices.bulk.allocate'));
    await fill(say('admin.bulk.tokens'), '5');
    await press(say('admin.bulk.preview'));
    await sees(say('admin.bulk.possible'));
    t.equal((await readRows(page, say('admin.bulk.items'))).length, 2);
    await press(say('admin.bulk.apply', { count: 2 }));
    await sees(say('admin.bulk.applied', { count: 2 }));
    await press(say('common.close'));
  },
  'all that match are blocked when their number is typed': async (hands, { word }, t) => {
    const { goTo, fill, press, tick, sees, say, page } = hands;
    await goTo(say('admin.nav.devices'));
    await searchFor(hands, `${word} rest`);
    await sees(say('admin.devices.count', { count: 3 }));
    await tick(say('admin.bulk.selectOne', { name: `${word} rest 3` }));
    await press(say('admin.bulk.selectMatching', { count: 3 }));
    await sees(say('admin.bulk.selectedMatching', { count: 3 }));
    await press(say('admin.devices.bulk.block'));
    await sees(say('admin.bulk.matched', { count: 3 }));
    await keepScreenshot(hands, `console bulk preview ${word}`);
    await fill(say('common.typeToConfirm', { word: '3' }), '3');
    await press(say('admin.bulk.begin'));
    await sees(say('admin.bulk.ended'));
    await keepScreenshot(hands, `console bulk done ${word}`);
    await sees(`${say('admin.bulk.sums.changed', { count: 3 })}.`);
    await press(say('common.close'));
    await settle(page);
    const rows = await readRows(page, say('admin.devices.title'));
    t.ok(
      rows.every(([name]) => name?.includes(say('admin.devices.blocked'))),
      'and the list shows it',
    );
  },
};
