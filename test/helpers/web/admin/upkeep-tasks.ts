import { PASSWORD } from '../../admin.js';
import { readRows, settle } from '../console.js';
import type { Tasks } from './task.js';

/** What admins do with usage, prices, pools, plans, warnings, the log and admins. */
export const UPKEEP_TASKS: Tasks = {
  'usage is looked at closer, and comes as a file': async ({ goTo, choose, press, sees, say, page }) => {
    await goTo(say('admin.nav.usage'));
    await choose(say('admin.usage.group'), say('admin.usage.by.source'));
    await sees(say('admin.usage.sources.device'));
    await press(say('admin.usage.narrowLabel', { name: say('admin.usage.sources.device') }));
    await page.getByRole('rowheader', { name: 'gpt-5' }).waitFor();
    await settle(page);
    await Promise.all([page.waitForEvent('download'), press(say('admin.usage.download'))]);
  },
  'a price and a weight are set and removed': async ({ goTo, fill, press, sees, say, page }, { word }) => {
    const model = `model-${word}`;
    await goTo(say('admin.nav.prices'));
    for (const [add, field, value] of [
      ['admin.prices.add', 'admin.prices.cost', '2'],
      ['admin.weights.add', 'admin.weights.input', '2'],
    ] as const) {
      await press(say(add));
      await fill(say('admin.usage.by.model'), model);
      await fill(say(field), value);
      await press(say('admin.save'));
      await page.getByRole('rowheader', { name: model }).waitFor();
      await settle(page);
      await press(say('admin.list.removeLabel', { name: model }));
      await press(say('admin.prices.remove'));
      await sees(say('admin.prices.saidRemove', { model }));
      await page.getByRole('rowheader', { name: model }).waitFor({ state: 'detached' });
    }
  },
  'the pool is made smaller, and the devices reset, each when a word is typed': async (hands) => {
    const { goTo, fill, tick, press, sees, say } = hands;
    await goTo(say('admin.nav.budget'));
    const pool = say('admin.pool.kinds.device');
    const isLimited = (await hands.page.getByText(say('admin.pool.ofUnlimited')).count()) < 2;
    await press(say('admin.budget.changeLabel', { pool }));
    if (!isLimited) await tick(say('admin.pool.unlimited'));
    await fill(say('admin.pool.total'), '5000');
    await press(say('admin.bulk.preview'));
    await fill(say('common.typeToConfirm', { word: say('admin.budget.word') }), say('admin.budget.word'));
    await press(say('admin.budget.change'));
    await sees(say('admin.budget.said', { pool }));
    await press(say('admin.budget.reset'));
    await fill(say('admin.budget.each'), '40');
    await press(say('admin.bulk.preview'));
    await fill(say('common.typeToConfirm', { word: say('admin.budget.resetWord') }), say('admin.budget.resetWord'));
    await press(say('admin.budget.reset'));
    await sees(new RegExp(say('admin.budget.saidReset', { devices: '\\d+', period: '\\d+' })));
  },
  'a plan is changed': async ({ goTo, fill, press, sees, say }) => {
    const plan = say('admin.plans.tiers.pro');
    await goTo(say('admin.nav.plans'));
    await press(say('admin.plans.change', { plan }));
    await fill(say('admin.plans.monthly'), '3000000');
    await press(say('admin.save'));
    await sees(say('admin.plans.said', { plan }));
  },
  'alerts are changed, and a webhook made, tested and removed': async (
    { goTo, fill, press, sees, say, page },
    { word },
  ) => {
    const url = `https://example.com/${word}`;
    await goTo(say('admin.nav.webhooks'));
    await press(say('admin.alerts.change'));
    await fill(say('admin.alerts.of.device'), '50, 90');
    await press(say('admin.save'));
    await sees(say('admin.alerts.said'));
    await press(say('admin.webhooks.add'));
    await fill(say('admin.webhooks.url'), url);
    await press(say('admin.webhooks.addSubmit'));
    await sees(say('admin.webhooks.made'));
    await press(say('common.close'));
    await settle(page);
    await press(say('admin.webhooks.testLabel', { url }));
    await sees(say('admin.webhooks.tested', { url }));
    await press(say('admin.list.removeLabel', { name: url }));
    await press(say('admin.list.remove'));
    await sees(say('admin.webhooks.saidRemove'));
  },
  'the audit log is narrowed, and the settings looked at': async ({ goTo, choose, press, sees, say, page }, _, t) => {
    await goTo(say('admin.nav.audit'));
    await choose(say('admin.audit.action'), say('admin.audit.actions.begin_bulk_change'));
    await settle(page);
    t.match((await readRows(page, say('admin.audit.title')))[0], [say('admin.audit.actions.begin_bulk_change')]);
    await goTo(say('admin.nav.settings'));
    await press('HTTP');
    await sees('TRUST_PROXY');
  },
  'an admin is added, changed and removed': async ({ goTo, fill, choose, press, sees, say, page }, { word }) => {
    const name = `helper-${word}`;
    await goTo(say('admin.nav.admins'));
    await press(say('admin.admins.add'));
    await fill(say('admin.signIn.username'), name);
    await fill(say('admin.signIn.password'), PASSWORD);
    await press(say('admin.save'));
    await sees(say('admin.admins.saidAdd', { name }));
    await settle(page);
    await press(say('admin.list.changeLabel', { name }));
    await choose(say('admin.admins.role'), say('admin.admins.roles.operator'));
    await press(say('admin.save'));
    await sees(say('admin.admins.saidChange', { name }));
    await settle(page);
    await press(say('admin.list.removeLabel', { name }));
    await fill(say('common.typeToConfirm', { word: name }), name);
    await press(say('admin.list.remove'));
    await sees(say('admin.admins.saidRemove', { name }));
  },
  'the password is changed, and one signs out': async ({ goTo, fill, press, sees, say, page }) => {
    await goTo(say('admin.nav.account'));
    const card = say('admin.account.password');
    await fill(say('admin.account.currentPassword'), PASSWORD, card);
    await fill(say('admin.admins.newPassword'), `${PASSWORD} anew`, card);
    await press(say('admin.account.changePassword'));
    await sees(say('admin.account.passwordChanged'));
    await press(say('admin.signOut'));
    await page.getByRole('heading', { level: 1, name: say('admin.signIn.title') }).waitFor();
  },
};
