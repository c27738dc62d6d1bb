const { dataset } = document.documentElement;

// Runs before the first paint, so that a page does not flash in the other theme.
dataset['theme'] = 'system';
try {
  dataset['theme'] = localStorage.getItem('tokenledger.theme') ?? 'system';
} catch {}

/** Has the document say that the page could not be loaded; once there is a page, there is nothing in it that does. */
function noteIncomplete(): void {
  dataset['incomplete'] = '';
}

// A file of the page did not come, as the connection broke or the server was replaced by another, or it cannot be run.
window.addEventListener(
  'error',
  ({ target }) => {
    const isWhatMayLack = target instanceof Element && !(target instanceof HTMLScriptElement);
    if (!isWhatMayLack) noteIncomplete();
  },
  true,
);
window.addEventListener('unhandledrejection', noteIncomplete);
document.addEventListener('click', ({ target }) => {
  if (target instanceof Element && target.closest('.incomplete button') !== null) location.reload();
});
