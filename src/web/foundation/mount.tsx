import { type ComponentType, render } from 'preact';
import { loadTexts } from './text/text.js';
import './css/tokens.css';
import './css/base.css';
import './css/controls.css';
import './css/parts.css';
import './css/second-factor.css';
import './css/table.css';
import './css/shell.css';

/** Shows a page, once the texts of its language are there. */
export async function mount(Page: ComponentType): Promise<void> {
  await loadTexts();
  const place = document.getElementById('app');
  if (place === null) throw new Error('the document lacks #app');
  place.replaceChildren();
  render(<Page />, place);
}
