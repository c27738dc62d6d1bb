import { client } from './client.js';
import { ask, type Message } from './messages.js';

const find = (id: string) => document.getElementById(id) ?? document.body;
const [device, account, note, button] = ['device', 'account', 'note', 'button'].map(find);

function show(element: HTMLElement | undefined, text: string): void {
  if (element !== undefined) element.textContent = text;
}

const toText = (tokens: number) => `${tokens.toLocaleString()} ${tokens === 1 ? 'token' : 'tokens'} left`;

/** Shows what the server says, or what is known without it. */
async function render(): Promise<void> {
  const user = await client.account.user();
  show(button, user === undefined ? 'Sign in with Google' : 'Sign out');
  show(account, user === undefined ? 'Nobody is signed in' : user.email);
  try {
    const { remaining } = await client.device.balance();
    show(device, toText(remaining));
    if (user !== undefined) show(account, `${user.email}: ${toText((await client.account.profile()).tokens_left)}`);
    show(note, '');
  } catch (error) {
    show(note, error instanceof Error ? error.message : 'Something went wrong');
  }
}

async function toggle(): Promise<void> {
  const message: Message = { type: (await client.account.user()) === undefined ? 'sign-in' : 'sign-out' };
  const answer = await ask(message);
  await render();
  if (answer?.error !== undefined) show(note, answer.error);
}

button?.addEventListener('click', () => void toggle());
// The service worker may have counted or signed in meanwhile.
chrome.storage.local.onChanged.addListener((changes) => {
  if ('tokenledger.session' in changes || 'tokenledger.queue' in changes) void render();
});
void render();
