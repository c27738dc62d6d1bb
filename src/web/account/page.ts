const PATIENCE_MS = 30_000;

/**
 * An element of the page's own markup.
 * @throws where the markup lacks it
 */
export function element<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page lacks ${id}`);
}

/** Takes what a mailed link carries out of the address, so that it is in no history, bookmark or picture of the screen. */
export function takeFragment(): URLSearchParams {
  const fragment = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, '', location.pathname);
  return fragment;
}

/** Says something below the field and with it, or takes it back. */
export function explain(field: HTMLInputElement, problem: string): void {
  element(`${field.id}-error`, HTMLParagraphElement).textContent = problem;
  if (problem === '') field.removeAttribute('aria-invalid');
  else field.setAttribute('aria-invalid', 'true');
}

/** Explains a field and leads to it. */
export function refuse(field: HTMLInputElement, problem: string): void {
  explain(field, problem);
  field.focus();
}

/** What became of a request. */
export interface Outcome {
  /** OK, the server's error code, or an empty one where it did not answer. */
  readonly code: string;
  readonly sentence: string;
  /** The whole answer. */
  readonly body: unknown;
}

/** Returns a member of an answer, whatever it is. */
export function fieldOf(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined;
}

/** Returns a member of an answer that is text; an empty one where it is not. */
export function textIn(body: unknown, name: string): string {
  const value = fieldOf(body, name);
  return typeof value === 'string' ? value : '';
}

/** Posts JSON to this server's API. */
export async function post(path: string, payload: object): Promise<Outcome> {
  try {
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(payload),
      credentials: 'omit',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const body: unknown = await response.json();
    return { code: response.ok ? 'OK' : textIn(body, 'code'), sentence: textIn(body, 'message'), body };
  } catch {
    return { code: '', sentence: 'The server did not answer. Check your connection and try again.', body: undefined };
  }
}

/** Makes a form do its work once at a time. @param button is marked while it is at it */
export function onSubmit(form: HTMLFormElement, button: HTMLButtonElement, work: () => Promise<void>): void {
  let busy = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    button.setAttribute('aria-disabled', 'true');
    await work();
    busy = false;
    button.removeAttribute('aria-disabled');
  });
}
