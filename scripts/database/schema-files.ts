import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

/** A file of `supabase/schemas`. */
export interface SchemaFile {
  /** Path below `supabase`, with slashes. */
  readonly path: string;
  readonly sql: string;
}

/** Reads the list `schema_paths` of `supabase/config.toml`. */
function parseSchemaPaths(config: string): string[] {
  const [, list = ''] = /^schema_paths = \[([^\]]*)\]/m.exec(config) ?? [];
  return [...list.matchAll(/^\s*"\.\/([^"]+)"/gm)].map(([, path = '']) => path);
}

/** Returns whether a path matches a pattern in which `*` stands for part of one name. */
function matchesPattern(path: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.\\^$+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^/]*')}$`).test(path);
}

/**
 * Reads the files of `supabase/schemas` in the order `config.toml` names them.
 *
 * @param directory the folder `supabase`
 * @throws where a file is named by no pattern, so that none is forgotten
 */
export async function readSchemaFiles(directory: string): Promise<SchemaFile[]> {
  const patterns = parseSchemaPaths(await readFile(join(directory, 'config.toml'), 'utf8'));
  const entries = await readdir(join(directory, 'schemas'), { recursive: true, withFileTypes: true });
  const present = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
  const ordered = new Set(patterns.flatMap((pattern) => present.filter((path) => matchesPattern(path, pattern))));
  const forgotten = present.filter((path) => !ordered.has(path));
  if (forgotten.length > 0) {
    throw new Error(`schema_paths in supabase/config.toml names no pattern for ${forgotten.join(', ')}`);
  }
  return Promise.all([...ordered].map(async (path) => ({ path, sql: await readFile(join(directory, path), 'utf8') })));
}

/** Puts `drop policy if exists` before each policy, as there is no `create or replace policy`. */
export function makePoliciesRepeatable(sql: string): string {
  return sql.replace(/^create policy (\w+) on (\S+)/gm, 'drop policy if exists $1 on $2;\n$&');
}

/** Joins schema files to one text, which is safe to run again. */
export function joinSchemaFiles(files: readonly SchemaFile[]): string {
  const sections = files.map(({ path, sql }) => `-- ${path.replace(/^schemas\//, '')}\n\n${sql.trim()}\n`);
  return `${makePoliciesRepeatable(sections.join('\n'))}\nreset check_function_bodies;\nreset search_path;\n`;
}
