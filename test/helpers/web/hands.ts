import type { Page } from 'playwright-core';
import { pause, settle } from './console.js';
import { openTexts } from './languages.js';
import { isFocusVisible, tabTo } from './view.js';

/** Somebody who does things on a page, in their own way and language. */
export interface Hands {
  readonly page: Page;
  /** What a page says, by the name of the text. */
  readonly say: Awaited<ReturnType<typeof openTexts>>;
  /** Goes to a view by the navigation. */
  readonly goTo: (view: string) => Promise<void>;
  /** Presses a button or follows a link, by what is read out for it. */
  readonly press: (name: string | RegExp) => Promise<void>;
  /** Writes something into a field; of several with one label, into that of a card. */
  readonly fill: (label: string, text: string, card?: string) => Promise<void>;
  /** Chooses from a list. */
  readonly choose: (label: string, option: string) => Promise<void>;
  /** Ticks a box, or clears it. */
  readonly tick: (label: string | RegExp) => Promise<void>;
  /** Waits until something is written in front of them. */
  readonly sees: (text: string | RegExp) => Promise<void>;
}

/** Where things are done: in the dialog as long as one is open. */
const PLACE = 'dialog[open], body:not(:has(dialog[open]))';

async function sees(page: Page, text: string | RegExp): Promise<void> {
  await page.getByText(text).filter({ visible: true }).first().waitFor();
  await settle(page);
}

/** Searches a list, and waits until it is of what was searched for: that is only asked once nobody types any more. */
export async function searchFor({ fill, say, page }: Hands, text: string): Promise<void> {
  await fill(say('admin.list.search'), text);
  await page.waitForURL(({ hash }) => new URLSearchParams(hash.split('?')[1]).get('q') === text);
  await settle(page);
}

/** Somebody with a mouse, or with a finger on a phone. */
export async function openPointer(page: Page, language: 'en' | 'de'): Promise<Hands> {
  const say = await openTexts(language);
  const press = async (name: string | RegExp) => {
    const place = page.locator(PLACE);
    const named = { name, exact: true };
    const summary = place.locator('summary').filter({ hasText: name });
    await place.getByRole('button', named).or(place.getByRole('link', named)).or(summary).last().click();
    await pause(page);
  };
  const field = (label: string | RegExp) => page.locator(PLACE).getByLabel(label, { exact: true });
  return {
    page,
    say,
    press,
    goTo: async (view) => {
      const navigation = page.getByRole('navigation', { name: say('common.navigation') });
      const menu = navigation.getByRole('button');
      if (await menu.isVisible()) await menu.click();
      await navigation.getByRole('link', { name: view, exact: true }).click();
      await page.getByRole('heading', { level: 1, name: view }).waitFor();
      await settle(page);
    },
    fill: (label, text, card) =>
      (card === undefined
        ? field(label)
        : page.getByRole('region', { name: card }).getByLabel(label, { exact: true })
      ).fill(text),
    choose: async (label, option) => {
      await field(label).selectOption({ label: option });
      await pause(page);
    },
    tick: async (label) => {
      const box = field(label);
      await box.setChecked(!(await box.isChecked()));
      await pause(page);
    },
    sees: (text) => sees(page, text),
  };
}

/** What names somebody a kind of thing that gets the focus, so that each kind is looked at once. */
const KIND = '(({ tagName, type, className }) => [tagName, type, className].join(" "))(document.activeElement)';

/** The heading of the card that what has the focus is on. */
const CARD = `document.activeElement.closest('section')?.querySelector('h2')?.textContent ?? ''`;

/**
 * Somebody with a keyboard alone: every thing is reached with the Tab key.
 *
 * @param complain is told of a kind of thing that does not show that it has the focus
 */
export async function openKeyboard(
  page: Page,
  language: 'en' | 'de',
  complain: (what: string) => void,
): Promise<Hands> {
  const say = await openTexts(language);
  const { keyboard } = page;
  const seen = new Set<string>();
  const reach = async (name: string | RegExp, card?: string) => {
    await tabTo(page, name, 120);
    while (card !== undefined && (await page.evaluate<string>(CARD)) !== card) await tabTo(page, name, 120);
    const kind = await page.evaluate<string>(KIND);
    if (seen.has(kind)) return;
    seen.add(kind);
    if (!(await isFocusVisible(page))) complain(`${name} (${kind})`);
  };
  return {
    page,
    say,
    press: async (name) => {
      await reach(name);
      await keyboard.press('Enter');
      await pause(page);
    },
    goTo: async (view) => {
      await reach(view);
      await keyboard.press('Enter');
      await page.getByRole('heading', { level: 1, name: view }).waitFor();
      await settle(page);
    },
    fill: async (label, text, card) => {
      await reach(label, card);
      await keyboard.press('Control+A');
      await keyboard.press('Delete');
      await keyboard.type(text);
    },
    choose: async (label, option) => {
      await reach(label);
      await keyboard.type(option);
      await pause(page);
    },
    tick: async (label) => {
      await reach(label);
      await keyboard.press('Space');
      await pause(page);
    },
    sees: (text) => sees(page, text),
  };
}
