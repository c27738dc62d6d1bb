import { ApiFailure, readText } from './answers.js';
import { sendForJson } from './api.js';
import { element } from './dom.js';
import { signIn } from './session.js';

const form = element('sign-in', HTMLFormElement);
const email = element('email', HTMLInputElement);
const password = element('password', HTMLInputElement);
const submit = element('submit', HTMLButtonElement);
const forgot = element('forgot', HTMLButtonElement);
const message = element('sign-in-message', HTMLParagraphElement);

let busy = false;

/** Says something below the field and with it, or takes it back. */
function explain(field: HTMLInputElement, problem: string): void {
  element(`${field.id}-error`, HTMLParagraphElement).textContent = problem;
  if (problem === '') field.removeAttribute('aria-invalid');
  else field.setAttribute('aria-invalid', 'true');
}

/** Whether the fields are filled; leads to the first that is not. */
function check(fields: readonly HTMLInputElement[]): boolean {
  for (const field of [email, password]) explain(field, '');
  const empty = fields.find(({ value }) => value.trim() === '');
  if (empty === undefined) return true;
  explain(empty, empty === email ? 'Type your e-mail address.' : 'Type your password.');
  empty.focus();
  return false;
}

/** Does something once at a time, and says what came of it. */
async function attempt(work: () => Promise<string>): Promise<void> {
  if (busy) return;
  busy = true;
  for (const button of [submit, forgot]) button.setAttribute('aria-disabled', 'true');
  message.className = '';
  message.textContent = 'One moment…';
  try {
    message.textContent = await work();
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    message.className = 'error';
    message.textContent = error.message;
  } finally {
    busy = false;
    for (const button of [submit, forgot]) button.removeAttribute('aria-disabled');
  }
}

/** Shows the form, or takes it away with what was typed. */
export function showForm(shown: boolean, reason = ''): void {
  form.hidden = !shown;
  form.reset();
  check([]);
  message.className = '';
  message.textContent = reason;
  if (shown) email.focus();
}

/** Makes the form work. @param onSignedIn told the address of whoever signed in */
export function listenForSignIn(onSignedIn: (email: string) => void): void {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!check([email, password])) return;
    void attempt(async () => {
      onSignedIn(await signIn(email.value, password.value));
      return '';
    });
  });
  forgot.addEventListener('click', () => {
    if (!check([email])) return;
    void attempt(async () => {
      const body = { email: email.value };
      return readText(await sendForJson('auth/forgot-password', { method: 'POST', body }), 'message');
    });
  });
}
