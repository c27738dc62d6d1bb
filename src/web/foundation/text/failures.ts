import type { ApiFailure } from '../api/failure.js';
import { findText, language, plural, t } from './text.js';

/** How a sentence of the server ends is up to the page. */
function toSentence(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

/**
 * Says what went wrong, in the language of the page. English has the server's own sentence, which may know more than the
 * texts do; other languages have a text for the code, or else the server's sentence too.
 */
export function explainFailure(failure: ApiFailure): string {
  const { code, message, retryAfter, status } = failure;
  const translated = findText(`errors.${code}`);
  const own = language.value === 'en' && message !== '' ? message : (translated ?? message);
  const sentence = own === '' ? t('errors.unknown', { status }) : toSentence(own);
  const isBusy = [429, 503].includes(status) && retryAfter !== undefined && retryAfter > 1;
  return isBusy ? `${sentence} ${plural('errors.retryAfter', retryAfter)}` : sentence;
}
