import { element, explain, type Outcome, onSubmit, post, refuse, takeFragment } from '../account/page.js';
import { checkPasswords, clearPasswords, password } from '../account/passwords.js';

const heading = element('heading', HTMLHeadingElement);
const form = element('form', HTMLFormElement);
const email = element('email', HTMLInputElement);
const submit = element('submit', HTMLButtonElement);
const status = element('status', HTMLParagraphElement);

/** What the link carries; it stays in this page's memory only. */
let code = '';

/** Shows the page anew: a title, a sentence, and the empty form or none. */
function present(title: string, sentence: string, withForm: boolean): void {
  form.reset();
  clearPasswords();
  explain(email, '');
  form.hidden = !withForm;
  heading.textContent = title;
  document.title = title;
  status.textContent = sentence;
  (withForm ? email : heading).focus();
}

function begin(): void {
  const fragment = takeFragment();
  code = fragment.get('code') ?? '';
  if (code === '') present('This link is incomplete', 'Open the whole link of your invitation.', false);
  else invite(fragment.get('email') ?? '');
}

/** Shows the form. @param address the only one the invitation is good for, or an empty one */
function invite(address: string): void {
  present('Create your account', '', true);
  email.value = address;
  email.readOnly = address !== '';
  if (email.readOnly) password.focus();
}

function show(outcome: Outcome): void {
  const { sentence } = outcome;
  if (outcome.code === 'OK') present('Your account is ready', 'Log in with your e-mail address and password.', false);
  else if (outcome.code === 'INVITATION_INVALID' || outcome.code === 'SIGNUP_CLOSED')
    present('This invitation does not work', `${sentence}.`, false);
  else if (outcome.code === 'EMAIL_TAKEN') refuse(email, 'There is an account with this address. Log in instead.');
  else if (outcome.code === 'PASSWORD_TOO_COMMON') refuse(password, sentence);
  else if (outcome.code === 'VALIDATION_FAILED') refuse(email, sentence);
  else status.textContent = sentence;
}

onSubmit(form, submit, async () => {
  explain(email, '');
  if (email.value.trim() === '') return refuse(email, 'Type your e-mail address.');
  if (!checkPasswords()) return;
  status.textContent = '';
  show(await post('api/auth/register', { email: email.value, password: password.value, invitation: code }));
});
window.addEventListener('hashchange', begin);
begin();
