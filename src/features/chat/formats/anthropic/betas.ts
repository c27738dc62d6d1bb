/**
 * Beta features that cost nothing but tokens at their usual price, without the date of their version. All others, such
 * as faster answers, longer contexts at a higher price and tools that are run upstream, are for CHAT_EXTRAS.
 */
const TOKENS_ONLY: ReadonlySet<string> = new Set([
  'advanced-tool-use',
  'cache-diagnosis',
  'claude-code',
  'compact',
  'computer-use',
  'context-management',
  'dev-full-thinking',
  'effort',
  'extended-cache-ttl',
  'files-api',
  'fine-grained-tool-streaming',
  'inline-tools',
  'interleaved-thinking',
  'mid-conversation-output-config',
  'mid-conversation-system',
  'mid-conversation-system-clear-at',
  'mid-conversation-tool-changes',
  'model-context-window-exceeded',
  'output-128k',
  'output-300k',
  'pdfs',
  'per-turn-control',
  'prompt-caching',
  'prompt-caching-scope',
  'redact-thinking',
  'structured-outputs',
  'task-budgets',
  'thinking-binding-controls',
  'thinking-display-updates',
  'thinking-token-count',
  'token-counting',
  'token-efficient-tools',
  'tool-examples',
  'tool-search-tool',
]);
const NAME = /^[\w.-]{1,100}$/;
const VERSION = /^\d{4}-\d{2}-\d{2}$/;
const DEFAULT_VERSION = '2023-06-01';
const MAX_BETAS = 50;

type Header = string | readonly string[] | undefined;

const toFamily = (beta: string) => beta.replace(/-\d{4}-?\d{2}-?\d{2}$/, '');

/** Returns the names in `anthropic-beta`. */
export function parseBetas(header: Header): string[] {
  const names = [header ?? []].flat().flatMap((value) => value.split(','));
  return names.map((name) => name.trim()).filter((name) => NAME.test(name));
}

/**
 * Returns the header fields of Anthropic's that go upstream. A beta feature that may cost more than tokens is dropped:
 * clients name all they know, whether a request needs them or not.
 */
export function toUpstreamHeaders(
  headers: Readonly<Record<string, Header>>,
  hasExtras: boolean,
): Readonly<Record<string, string>> {
  const version = String(headers['anthropic-version'] ?? '');
  const betas = parseBetas(headers['anthropic-beta']).filter((beta) => hasExtras || TOKENS_ONLY.has(toFamily(beta)));
  return {
    'anthropic-version': VERSION.test(version) ? version : DEFAULT_VERSION,
    ...(betas.length > 0 && { 'anthropic-beta': betas.slice(0, MAX_BETAS).join(',') }),
  };
}
