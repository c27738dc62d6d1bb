import type { ChatMessage, ChatPart } from './schemas.js';

function toUpstreamPart(part: ChatPart): object {
  if (part.type === 'text') {
    const { type, text, cache_control: cacheControl } = part;
    return { type, text, ...(cacheControl && { cache_control: cacheControl }) };
  }
  const { url, detail } = part.image_url;
  return { type: part.type, image_url: { url, ...(detail && { detail }) } };
}

/** Returns a message with the members contract 4 knows; any others are left out. */
export function toUpstreamMessage({ role, content }: ChatMessage): object {
  return { role, content: typeof content === 'string' ? content : content.map(toUpstreamPart) };
}
