import { t } from '../text/text.js';

/** Shows that something is at work; only to the eye, as what is at work says so itself. */
export function Spinner() {
  return <span class="spinner" aria-hidden="true" />;
}

/** Shows that a part of the page is being loaded, and says so. */
export function Loading() {
  return (
    <p class="loading">
      <Spinner /> {t('common.loading')}
    </p>
  );
}

/** Shows how far long work is. @param of how much there is to do */
export function Progress({ label, done, of }: { readonly label: string; readonly done: number; readonly of: number }) {
  return (
    <label class="progress">
      <span>{label}</span>
      <progress value={done} max={of} />
    </label>
  );
}
