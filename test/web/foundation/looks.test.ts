import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import t from '../../helpers/run/tap.js';
import { findEnglish } from '../../helpers/web/languages.js';
import { isFocusVisible, openView, tabTo } from '../../helpers/web/view.js';

/** A button with a style while it has the focus, and where it is. */
const BUTTONS: Readonly<Record<string, readonly [style: string, place: string, isSeen: boolean]>> = {
  'a line around it': ['outline: 2px solid #0b57d0', '', true],
  'a shadow around it': ['outline: none; box-shadow: 0 0 0 3px black', '', true],
  'a line on the label of a hidden box': ['outline: none', 'label', true],
  'no line': ['outline: none', '', false],
  'a line of the colour behind it': ['outline: 2px solid white', '', false],
  'a pale line': ['outline: 2px solid #eee', '', false],
  'a line that is cut off': ['outline: 2px solid black', 'overflow: hidden', false],
  'a line out of sight': ['outline: 2px solid black', 'position: fixed; top: -200px', false],
};

t.test('whether one sees where the focus is, is looked at', { skip: browserMissing }, async (t) => {
  const browser = await openBrowser(t);
  const { page } = await openView(t, browser);
  for (const [name, [style, place, isSeen]] of Object.entries(BUTTONS)) {
    const button = `<button style="border: 0; background: white">Press</button>`;
    const label = `<label>Press<input type="radio" style="position: absolute; opacity: 0"></label>`;
    await page.setContent(`<style>:focus { ${style} } label:has(:focus) { outline: 2px solid black }</style>
      <div style="margin: 40px; ${place === 'label' ? '' : place}">${place === 'label' ? label : button}</div>`);
    await tabTo(page, 'Press');
    t.equal(await isFocusVisible(page), isSeen, name);
    t.equal(await page.evaluate('document.activeElement.matches("button, input")'), true, 'and the focus is back');
  }
});

t.test('what a German page says in English is found', { skip: browserMissing }, async (t) => {
  const browser = await openBrowser(t);
  const { page } = await openView(t, browser, { german: true });
  await page.setContent(`<title>Geräte</title><p>Sign out</p><button aria-label="Type x to confirm">Abmelden</button>
    <code>Sign out</code>`);
  t.strictSame((await findEnglish(page)).sort(), ['Sign out', 'Type x to confirm']);
});

t.end();
