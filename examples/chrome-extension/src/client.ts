import { createClient, extensionStorage } from 'tokenledger/client';

/** The server's address; the build puts it here. */
declare const SERVER_URL: string;

/** The client of this context; the service worker and the popup have one each, over the same storage. */
export const client = createClient({
  baseUrl: SERVER_URL,
  storage: extensionStorage(chrome.storage.local),
  device: { name: `Browser on ${navigator.userAgent.includes('Mac') ? 'a Mac' : 'a computer'}` },
});
