import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { t } from '../text/text.js';

/** How long what was done is shown, in milliseconds; it stays while the pointer or the focus is on it. */
const SHOWN_MS = 8_000;

interface Toast {
  readonly id: number;
  readonly text: string;
}

const toasts = signal<readonly Toast[]>([]);
let last = 0;

function drop(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Says what was done, to the eye and to screen readers, without taking the focus. */
export function announce(text: string): void {
  last += 1;
  toasts.value = [...toasts.value.filter((toast) => toast.text !== text), { id: last, text }].slice(-3);
}

function ToastLine({ id, text }: Toast) {
  useEffect(() => {
    const timer = setTimeout(() => drop(id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [id]);
  return (
    <div class="toast">
      <p>{text}</p>
      <button type="button" class="close" aria-label={t('common.close')} onClick={() => drop(id)}>
        <span aria-hidden="true">×</span>
      </button>
    </div>
  );
}

/** Shows what was announced; there is one on every page. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <ToastLine key={toast.id} {...toast} />
      ))}
    </div>
  );
}
