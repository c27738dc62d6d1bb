import { element, explain, refuse } from './page.js';

const MIN_LENGTH = 8;
const MAX_LENGTH = 256;

export const password = element('password', HTMLInputElement);
const repetition = element('repetition', HTMLInputElement);
const reveal = element('reveal', HTMLInputElement);

function show(shown: boolean): void {
  for (const field of [password, repetition]) field.type = shown ? 'text' : 'password';
}

/** Hides the passwords, and takes back what was said about them. */
export function clearPasswords(): void {
  show(false);
  for (const field of [password, repetition]) explain(field, '');
}

/** Whether both fields are as they must be; leads to the first that is not. */
export function checkPasswords(): boolean {
  explain(password, '');
  explain(repetition, '');
  const length = [...password.value].length;
  if (length < MIN_LENGTH) refuse(password, `Use at least ${MIN_LENGTH} characters.`);
  else if (length > MAX_LENGTH) refuse(password, `Use at most ${MAX_LENGTH} characters.`);
  else if (password.value !== repetition.value) refuse(repetition, 'The two passwords are not the same.');
  else return true;
  return false;
}

reveal.addEventListener('change', () => show(reveal.checked));
