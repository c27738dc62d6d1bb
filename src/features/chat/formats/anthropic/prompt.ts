import { type Fields, isFields, toFields } from '../../json-fields.js';
import { estimatePrompt, type PromptEstimate } from '../../metering/prompt-estimate.js';

/**
 * Returns a block with its texts and attachments under the names they are estimated by: what a tool was called with is
 * text whatever is in it, as are the addresses of what was found; only a source is fetched by its address.
 */
function toEstimated(block: Fields): Fields {
  const { type, source, input, signature: _signature, ...rest } = block;
  const { type: sourceType, url, data } = toFields(source);
  if (input !== undefined && /tool_use$/.test(String(type))) return { ...rest, text: JSON.stringify(input) };
  if (type === 'image' && sourceType === 'url') return { image_url: url };
  if (sourceType === 'text') return { ...rest, text: data };
  if (/(^|_)search_result$/.test(String(type))) return { ...rest, text: [source, rest['url']], url: undefined };
  return { ...block, signature: undefined };
}

/** Returns what a request has the model read, at any depth. */
function toContents(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toContents);
  if (!isFields(value)) return value;
  return Object.fromEntries(Object.entries(toEstimated(value)).map(([name, member]) => [name, toContents(member)]));
}

/**
 * Estimates what a request in Anthropic's format carries.
 * @param remoteTokens tokens of an attachment that is only named by its address
 */
export function estimateMessages(body: Fields, remoteTokens: number): PromptEstimate {
  const { system, messages, tools, output_config: output, output_format: format } = body;
  const contents = [system, messages].map(toContents);
  const schemas = [tools, toFields(output)['format'], format];
  const messageCount = Array.isArray(messages) ? messages.length : 1;
  return estimatePrompt({ contents, schemas, messageCount }, remoteTokens);
}
