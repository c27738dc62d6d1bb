import { signal } from '@preact/signals';

/** Takes what a mailed link carries out of the address, so that it is in no history, bookmark or picture of the screen. */
function takeFragment(): URLSearchParams {
  const fragment = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, '', location.pathname);
  return fragment;
}

/** What the link that was opened carries; it stays in this page's memory only. */
export const fragment = signal(takeFragment());

/** Counts the links opened in this page: the same one again begins anew. */
export const opened = signal(0);

// The same page is not loaded anew when a link differs only behind its `#`.
window.addEventListener('hashchange', () => {
  if (location.hash === '') return;
  fragment.value = takeFragment();
  opened.value += 1;
});
