import { hasCode } from 'tokenledger/client';
import { client } from './client.js';
import { type Answer, isMessage, type Message } from './messages.js';

/*
 * The service worker. It is ended whenever it is idle, and started for each event: so it keeps nothing in variables, and all
 * listeners are there once this module has run.
 */

const FLUSH = 'flush';

/** Shows on the extension's button what is left. */
async function showBalance(remaining?: number): Promise<void> {
  const left = remaining ?? (await client.device.balance()).remaining;
  await chrome.action.setBadgeBackgroundColor({ color: left > 0 ? '#1d6b4f' : '#b3261e' });
  await chrome.action.setBadgeText({ text: left > 999 ? '999+' : String(left) });
}

async function count(model_type: string): Promise<void> {
  try {
    const logged = await client.device.log({ model_type });
    // What is queued is kept, and sent by the alarm or with the next prompt.
    if (logged.state === 'logged') await showBalance(logged.answer?.remaining);
  } catch (error) {
    if (!hasCode(error, 'INSUFFICIENT_TOKENS')) throw error;
    await showBalance(0);
  }
}

async function signIn(): Promise<void> {
  const url = await client.account.beginSignIn('google', chrome.identity.getRedirectURL('signed-in'));
  const address = await chrome.identity.launchWebAuthFlow({ url, interactive: true });
  await client.account.finishSignIn(address);
  await client.device.register();
}

function handle(message: Message): Promise<void> {
  if (message.type === 'prompt') return count(message.model);
  return message.type === 'sign-in' ? signIn() : client.account.signOut();
}

/** Registers this installation, which may be new, and sends what an earlier run could not. */
async function begin(): Promise<void> {
  await chrome.alarms.create(FLUSH, { periodInMinutes: 5 });
  await client.device.register();
  await client.device.flush();
  await showBalance();
}

/** Leaves a failure to the next event: the server may be down, and nothing is lost. */
const later = (work: Promise<unknown>) => void work.catch(() => {});

// Content scripts live in the pages' processes: the tokens are none of their business.
later(chrome.storage.local.setAccessLevel({ accessLevel: 'TRUSTED_CONTEXTS' }));

chrome.runtime.onInstalled.addListener(() => later(begin()));
chrome.runtime.onStartup.addListener(() => later(begin()));
chrome.alarms.onAlarm.addListener(({ name }) => {
  if (name === FLUSH) later(client.device.flush().then(() => showBalance()));
});
chrome.runtime.onMessage.addListener((received, sender, respond: (answer: Answer) => void) => {
  if (sender.id !== chrome.runtime.id || !isMessage(received)) return false;
  // A page may count its prompts, but neither begin nor end a session.
  if (received.type !== 'prompt' && sender.origin !== location.origin) return false;
  handle(received).then(
    () => respond({}),
    (error: unknown) => respond({ error: error instanceof Error ? error.message : 'Something went wrong' }),
  );
  // The answer comes later, and the worker stays until then.
  return true;
});
