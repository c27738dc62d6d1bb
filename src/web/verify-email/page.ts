import { element, type Outcome, onSubmit, post, takeFragment } from '../account/page.js';

const heading = element('heading', HTMLHeadingElement);
const form = element('form', HTMLFormElement);
const submit = element('submit', HTMLButtonElement);
const status = element('status', HTMLParagraphElement);

/** What the mailed link carries; it stays in this page's memory only. */
let token = '';

/** Shows the page anew: a title, a sentence, and the question or none. */
function present(title: string, sentence: string, withForm: boolean): void {
  form.hidden = !withForm;
  heading.textContent = title;
  document.title = title;
  status.textContent = sentence;
  (withForm ? submit : heading).focus();
}

function begin(): void {
  token = takeFragment().get('token') ?? '';
  if (token !== '') present('Verify your e-mail address', '', true);
  else present('This link is incomplete', 'Open the whole link from your mail, or ask for a new one.', false);
}

function show({ code, sentence }: Outcome): void {
  if (code === 'OK') present('Your address is verified', sentence, false);
  else if (code === 'INVALID_VERIFICATION_TOKEN')
    present('This link does not work', `${sentence}. Ask for a new one.`, false);
  else if (code === 'EMAIL_TAKEN') present('This address is taken', 'Another account has it by now.', false);
  else status.textContent = sentence;
}

// Mail scanners open links, and some run scripts: only a person presses the button.
onSubmit(form, submit, async () => {
  status.textContent = '';
  show(await post('api/auth/verify-email', { token }));
});
window.addEventListener('hashchange', begin);
begin();
