// Runs before the first paint, so that a page does not flash in the other theme.
document.documentElement.dataset['theme'] = 'system';
try {
  document.documentElement.dataset['theme'] = localStorage.getItem('tokenledger.theme') ?? 'system';
} catch {}
