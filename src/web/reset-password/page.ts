import { element, type Outcome, onSubmit, post, refuse, takeFragment } from '../account/page.js';
import { checkPasswords, clearPasswords, password } from '../account/passwords.js';

const heading = element('heading', HTMLHeadingElement);
const form = element('form', HTMLFormElement);
const submit = element('submit', HTMLButtonElement);
const status = element('status', HTMLParagraphElement);

/** What the mailed link carries; it stays in this page's memory only. */
let token = '';

/** Shows the page anew: a title, a sentence, and the empty form or none. */
function present(title: string, sentence: string, withForm: boolean): void {
  form.reset();
  clearPasswords();
  form.hidden = !withForm;
  heading.textContent = title;
  document.title = title;
  status.textContent = sentence;
  (withForm ? password : heading).focus();
}

function begin(): void {
  token = takeFragment().get('token') ?? '';
  if (token !== '') present('Set a new password', '', true);
  else present('This link is incomplete', 'Open the whole link from your mail, or ask for a new one.', false);
}

function show({ code, sentence }: Outcome): void {
  if (code === 'OK') present('Your password is set', sentence, false);
  else if (code === 'INVALID_RESET_TOKEN') present('This link does not work', `${sentence}. Ask for a new one.`, false);
  else if (code === 'PASSWORD_TOO_COMMON' || code === 'VALIDATION_FAILED') refuse(password, sentence);
  else status.textContent = sentence;
}

onSubmit(form, submit, async () => {
  if (!checkPasswords()) return;
  status.textContent = '';
  show(await post('api/auth/reset-password', { token, new_password: password.value }));
});
// The same page is not loaded anew when a link differs only behind its `#`.
window.addEventListener('hashchange', begin);
begin();
