/** What a page says that can be checked against the project. */
export interface Page {
  /** Targets of its links, as written. */
  readonly links: string[];
  /** Fragments its headings can be linked by. */
  readonly anchors: string[];
  /** Scripts of `package.json` it names with `npm run`. */
  readonly scripts: string[];
  /** Files and folders of the project it names, in prose and in commands alike. */
  readonly paths: string[];
  /** Names in capitals with an underscore, as environment variables and error codes are written. */
  readonly constants: string[];
}

const FENCED_BLOCK = /^ *```.*?^ *```$/gms;
const BASH_BLOCK = /^```bash\n(.*?)^```$/gms;
const INLINE_CODE = /`[^`\n]+`/g;
const LINK = /\]\(([^)\s]+)\)/g;
const HEADING = /^#{1,6} +(.+?) *$/gm;
const SCRIPT = /\bnpm run\s+([a-z][a-z:-]*)/g;
// Not a part of a longer path or an address; a placeholder such as <area>, … or * makes it a pattern.
const PATH = /(?<![\w/.<>-])(?:dist\/)?(?:src|supabase|scripts|test|docs|\.ci|\.github)\/[\w./-]*(?![\w./-]*[<{*…])/g;
const CONSTANT = /`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`/g;

function findAll(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([all, group]) => group ?? all);
}

/** Returns the fragments GitHub gives to headings: lowercase, without punctuation, numbered where one is repeated. */
function toAnchors(headings: readonly string[]): string[] {
  const counts = new Map<string, number>();
  return headings.map((heading) => {
    const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = text.replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-');
    const count = counts.get(anchor) ?? 0;
    counts.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  });
}

/** Returns the source a path stands for: what is compiled to `dist/` is not there before a build. */
function toSource(path: string): string {
  const source = path.replace(/[./]+$/, '');
  return source.startsWith('dist/') ? source.slice('dist/'.length).replace(/\.js$/, '.ts') : source;
}

/** Returns the commands of a page: its blocks of bash, in order. */
export function listCommands(markdown: string): string[] {
  return findAll(markdown, BASH_BLOCK);
}

/** Reads what can be checked out of a page in Markdown, as GitHub shows it. */
export function parsePage(markdown: string): Page {
  const prose = markdown.replace(FENCED_BLOCK, '');
  const linked = prose.replace(INLINE_CODE, '');
  return {
    links: findAll(linked, LINK),
    anchors: toAnchors(findAll(prose, HEADING)),
    scripts: findAll(markdown, SCRIPT),
    paths: findAll(markdown.replace(LINK, ''), PATH).map(toSource),
    constants: findAll(prose, CONSTANT),
  };
}
