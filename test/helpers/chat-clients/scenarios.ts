import type { Test } from 'tap';
import { openChatServer } from '../chat.js';
import { ANSWERS } from './answers.js';
import type { ChatClient } from './chat-client.js';
import { TROUBLES } from './troubles.js';
import { CHAT_COMPLETIONS, type Wire } from './wire.js';

/** Takes a client through every scenario, streamed and whole, against a server that listens. */
export async function testChatClient(t: Test, client: ChatClient, wire: Wire = CHAT_COMPLETIONS): Promise<void> {
  const server = await openChatServer(t);
  const baseUrl = `${await server.listen()}/api/v1`;
  // After an abort clients connect anew, and a connection without a request is not idle to a server that closes.
  t.after(() => server.app.server.closeAllConnections());
  for (const [name, scenario] of Object.entries({ ...ANSWERS, ...TROUBLES })) {
    for (const isStreaming of [true, false]) {
      await t.test(`${client.name}, ${isStreaming ? 'streamed' : 'whole'}: ${name}`, async (t) => {
        await scenario(t, { client, wire, server, baseUrl }, isStreaming);
        await server.verifyLedger(t);
      });
    }
  }
}
