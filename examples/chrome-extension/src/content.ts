import { ask } from './messages.js';

/**
 * Counts the prompts of a page: what is sent by a form with a text area is one. A page that names its model says so in
 * `data-model`.
 */
document.addEventListener(
  'submit',
  ({ target }) => {
    if (!(target instanceof HTMLFormElement)) return;
    const text = target.querySelector('textarea')?.value.trim() ?? '';
    if (text === '') return;
    const model = target.closest<HTMLElement>('[data-model]')?.dataset['model'] ?? 'unknown';
    // After an update of the extension there is nobody to tell until the page is loaded again.
    ask({ type: 'prompt', model }).catch(() => {});
  },
  // Before the page itself hears of it, as it may clear the text.
  { capture: true },
);
