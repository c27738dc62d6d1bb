import { signal } from '@preact/signals';
import { keep, recall } from './kept-choice.js';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

/** What the person chose; `system` follows the browser. The script in the head of the document applies it before the first paint. */
export const theme = signal<Theme>(recall('theme', THEMES) ?? 'system');

/** Chooses light or dark. */
export function chooseTheme(next: Theme): void {
  theme.value = next;
  keep('theme', next);
  document.documentElement.dataset['theme'] = next;
}
