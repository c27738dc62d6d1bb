import { setTimeout as delay } from 'node:timers/promises';
import { type Agent, request } from 'undici';
import { openAgent, sendOnce } from './open-loop.js';
import type { OverloadStage } from './stage.js';

/** Streams that are open while the server is overloaded. */
export interface Streams {
  /** Ends them; returns what became of them in a line, and what must not have. */
  readonly stop: () => Promise<{ readonly line: string; readonly violations: readonly string[] }>;
}

const CHANGES = 5;
const CHAT_PAUSE_MS = 1_000;

/** Opens a stream of changes of settings; tells whether it is open still. */
async function openChanges(agent: Agent, { url, user }: OverloadStage): Promise<() => boolean> {
  const answer = await request(`${url}/api/sync/stream`, {
    dispatcher: agent,
    headers: { authorization: `Bearer ${user.token}` },
  });
  let isOpen = answer.statusCode === 200;
  answer.body
    .on('error', () => {
      isOpen = false;
    })
    .on('close', () => {
      isOpen = false;
    })
    .resume();
  return () => isOpen;
}

/** Opens streams of changes, which stay, and chats again and again. */
export async function openStreams(stage: OverloadStage): Promise<Streams> {
  const agent = openAgent();
  const changes = await Promise.all(Array.from({ length: CHANGES }, () => openChanges(agent, stage)));
  const chats = { whole: 0, refused: 0, broken: 0 };
  let isOver = false;
  const chat = async () => {
    const body = { messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 50 };
    const asked = { method: 'POST', path: '/api/chat/stream', token: stage.user.token, body } as const;
    while (!isOver) {
      const { status, text } = await sendOnce(agent, stage.url, asked, 60_000);
      if (status === 503) chats.refused += 1;
      else if (status === 200 && text.includes('[DONE]')) chats.whole += 1;
      else chats.broken += 1;
      await delay(CHAT_PAUSE_MS);
    }
  };
  const chatting = chat();
  return {
    stop: async () => {
      isOver = true;
      await chatting;
      const open = changes.filter((isOpen) => isOpen()).length;
      await agent.destroy();
      const violations = open < CHANGES ? [`${CHANGES - open} of ${CHANGES} open streams were ended`] : [];
      if (chats.broken > 0) violations.push(`${chats.broken} chats were broken off`);
      const line = `  ${open} of ${CHANGES} streams of changes stayed open; chats: ${chats.whole} whole, ${chats.refused} refused before they began`;
      return { line, violations };
    },
  };
}
