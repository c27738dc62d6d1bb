const MIN_LENGTH = 8;
const MAX_LENGTH = 256;
const PATIENCE_MS = 30_000;

function element<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page lacks ${id}`);
}

const heading = element('heading', HTMLHeadingElement);
const form = element('form', HTMLFormElement);
const password = element('password', HTMLInputElement);
const repetition = element('repetition', HTMLInputElement);
const reveal = element('reveal', HTMLInputElement);
const submit = element('submit', HTMLButtonElement);
const status = element('status', HTMLParagraphElement);

/** What the mailed link carries; it stays in this page's memory only. */
let token = '';
let busy = false;

/** Takes the token out of the address, so that it is in no history, bookmark or picture of the screen. */
function takeToken(): void {
  token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
  history.replaceState(null, '', location.pathname);
}

/** Says something below the field and with it, or takes it back. */
function explain(field: HTMLInputElement, problem: string): void {
  element(`${field.id}-error`, HTMLParagraphElement).textContent = problem;
  if (problem === '') field.removeAttribute('aria-invalid');
  else field.setAttribute('aria-invalid', 'true');
}

/** Explains a field and leads to it. */
function refuse(field: HTMLInputElement, problem: string): void {
  explain(field, problem);
  field.focus();
}

function showPasswords(shown: boolean): void {
  for (const field of [password, repetition]) field.type = shown ? 'text' : 'password';
}

/** Shows the page anew: a title, a sentence, and the empty form or none. */
function present(title: string, sentence: string, withForm: boolean): void {
  form.reset();
  showPasswords(false);
  for (const field of [password, repetition]) explain(field, '');
  form.hidden = !withForm;
  heading.textContent = title;
  document.title = title;
  status.textContent = sentence;
  (withForm ? password : heading).focus();
}

function begin(): void {
  takeToken();
  if (token !== '') present('Set a new password', '', true);
  else present('This link is incomplete', 'Open the whole link from your mail, or ask for a new one.', false);
}

/** Whether both fields are as they must be; leads to the first that is not. */
function check(): boolean {
  explain(password, '');
  explain(repetition, '');
  const length = [...password.value].length;
  if (length < MIN_LENGTH) refuse(password, `Use at least ${MIN_LENGTH} characters.`);
  else if (length > MAX_LENGTH) refuse(password, `Use at most ${MAX_LENGTH} characters.`);
  else if (password.value !== repetition.value) refuse(repetition, 'The two passwords are not the same.');
  else return true;
  return false;
}

interface Outcome {
  readonly code: string;
  readonly sentence: string;
}

function textIn(body: unknown, name: string): string {
  const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined;
  return typeof value === 'string' ? value : '';
}

async function send(): Promise<Outcome> {
  try {
    const response = await fetch('api/auth/reset-password', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, new_password: password.value }),
      credentials: 'omit',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const body: unknown = await response.json();
    return { code: response.ok ? 'OK' : textIn(body, 'code'), sentence: textIn(body, 'message') };
  } catch {
    return { code: '', sentence: 'The server did not answer. Check your connection and try again.' };
  }
}

function show({ code, sentence }: Outcome): void {
  if (code === 'OK') present('Your password is set', sentence, false);
  else if (code === 'INVALID_RESET_TOKEN') present('This link does not work', `${sentence}. Ask for a new one.`, false);
  else if (code === 'PASSWORD_TOO_COMMON' || code === 'VALIDATION_FAILED') refuse(password, sentence);
  else status.textContent = sentence;
}

async function onSubmit(): Promise<void> {
  if (busy || !check()) return;
  busy = true;
  submit.setAttribute('aria-disabled', 'true');
  status.textContent = '';
  const outcome = await send();
  busy = false;
  submit.removeAttribute('aria-disabled');
  show(outcome);
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void onSubmit();
});
reveal.addEventListener('change', () => showPasswords(reveal.checked));
// The same page is not loaded anew when a link differs only behind its `#`.
window.addEventListener('hashchange', begin);
begin();
