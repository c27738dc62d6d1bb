import { settle } from '../console.js';
import { searchFor } from '../hands.js';
import type { Tasks } from './task.js';

/** What admins do with people, and who is yet to come. */
export const PEOPLE_TASKS: Tasks = {
  'a person gets a plan, tokens and a proved address': async (hands, { email }) => {
    const { goTo, choose, press, sees, say, page } = hands;
    await goTo(say('admin.nav.people'));
    await searchFor(hands, email);
    await sees(say('admin.people.count', { count: 1 }));
    await press(email);
    await page.getByRole('heading', { level: 1, name: email }).waitFor();
    await settle(page);
    await press(say('admin.people.bulk.plan'));
    await choose(say('admin.people.plan'), say('admin.plans.tiers.premium'));
    await press(say('admin.people.bulk.plan'));
    await sees(say('admin.people.said.plan', { email, plan: say('admin.plans.tiers.premium') }));
    await press(say('admin.people.verify'));
    await press(say('admin.people.verify'));
    await sees(say('admin.people.said.verify', { email }));
  },
  'one session and one key of theirs are ended, then all': async ({ press, tick, sees, say, page }) => {
    await press(say('admin.people.endKeyLabel', { name: 'Nightly report' }));
    await press(say('admin.people.endKey'));
    await sees(say('admin.people.said.key', { name: 'Nightly report' }));
    await press(new RegExp(`^${say('admin.people.endSessionLabel', { name: '.*' })}$`));
    await press(say('admin.people.endSession'));
    await sees(say('admin.people.said.session'));
    await page.getByText(say('admin.people.noSessions')).waitFor();
    await press(say('admin.people.bulk.end_sessions'));
    await tick(say('admin.people.endKeys'));
    await press(say('admin.people.bulk.end_sessions'));
    await sees(say('admin.people.said.sessions', { count: 0 }));
  },
  'they are suspended, let go on, and deleted': async ({ fill, press, sees, say, page }, { email }) => {
    for (const act of ['suspend', 'unsuspend'] as const) {
      await press(say(`admin.people.bulk.${act}`));
      await press(say(`admin.people.bulk.${act}`));
      await sees(say(`admin.people.said.${act}`, { email }));
    }
    await press(say('admin.people.delete'));
    await fill(say('common.typeToConfirm', { word: email }), email);
    await press(say('admin.people.delete'));
    await sees(say('admin.people.said.delete', { email }));
    await page.getByRole('heading', { level: 1, name: say('admin.people.title') }).waitFor();
    await settle(page);
  },
  'an account is created': async ({ fill, press, sees, say }, { word }) => {
    const email = `new-${word}@example.com`;
    await press(say('admin.people.create'));
    await fill(say('admin.people.email'), email);
    await press(say('admin.people.createSubmit'));
    await sees(say('admin.people.said.create', { email }));
  },
  'somebody is invited, and the invitation taken back': async ({ goTo, fill, press, sees, say, page }, { word }, t) => {
    const email = `guest-${word}@example.com`;
    await goTo(say('admin.nav.invitations'));
    await press(say('admin.invitations.invite'));
    await fill(say('admin.people.email'), email);
    await press(say('admin.invitations.create'));
    await sees(say('admin.invitations.made'));
    t.match(await page.getByRole('dialog').getByRole('textbox').inputValue(), /\/invitation#code=/);
    await press(say('common.close'));
    await settle(page);
    await press(say('admin.invitations.takeBackLabel', { email }));
    await press(say('admin.invitations.takeBack'));
    await sees(say('admin.invitations.takenBack'));
  },
};
