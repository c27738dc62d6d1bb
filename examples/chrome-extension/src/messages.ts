/** What other parts of the extension ask the service worker for. */
export type Message =
  /** Somebody sent a prompt on a page. */
  { readonly type: 'prompt'; readonly model: string } | { readonly type: 'sign-in' } | { readonly type: 'sign-out' };

/** What the service worker answers; `error` is a sentence for people. */
export interface Answer {
  readonly error?: string;
}

/** Tells whether something that arrived is a message; pages may make a content script send what they like. */
export function isMessage(received: unknown): received is Message {
  const { type, model }: { type?: unknown; model?: unknown } = Object(received);
  if (type === 'prompt') return typeof model === 'string' && model.trim() !== '' && model.length <= 200;
  return type === 'sign-in' || type === 'sign-out';
}

/** Asks the service worker, which is started where it does not run. */
export function ask(message: Message): Promise<Answer | undefined> {
  return chrome.runtime.sendMessage<Message, Answer | undefined>(message);
}
