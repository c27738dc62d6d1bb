import { type Difference, renderDifference } from './differences.js';
import { makePoliciesRepeatable, type SchemaFile } from './schema-files.js';

const VERBATIM = new Set(['function', 'view', 'view column', 'policy', 'trigger']);

/** A month's partition gets its triggers from the function that makes it. */
const isOfPartition = ({ kind, name }: Difference) => kind === 'trigger' && /_\d{4}_\d{2}$/.test(name);

/** Escapes a text for a regular expression. */
const escaped = (text: string) => text.replace(/[.*+?^${}()[\]\\|]/g, '\\$&');

/** Finds the text of the object in `schemas/`. @throws where no file has it, which its name should make impossible */
function find(files: readonly SchemaFile[], name: string, pattern: RegExp): string {
  for (const { sql } of files) {
    const [text] = pattern.exec(sql) ?? [];
    if (text !== undefined) return text.trim();
  }
  throw new Error(`supabase/schemas has no text of ${name} in the usual form`);
}

const functionName = (name: string) => name.slice(0, name.indexOf('('));
const returnType = (definition = '') => /\n RETURNS (.*)\n/.exec(definition)?.[1];

function renderFunctions(files: readonly SchemaFile[], differences: readonly Difference[]): string[] {
  const functions = differences.filter(({ kind }) => kind === 'function');
  // What a function returns cannot be replaced.
  const dropped = functions.filter(
    ({ before, after }) => before !== undefined && (after === undefined || returnType(before) !== returnType(after)),
  );
  const present = functions.filter(({ after }) => after !== undefined).map(({ name }) => functionName(name));
  return [
    ...dropped.map(({ name }) => `drop function if exists ${name};`),
    ...[...new Set(present)].map((name) =>
      find(files, name, new RegExp(`(?:^--.*\\n)*^create or replace function ${escaped(name)}\\([\\s\\S]*`, 'm')),
    ),
  ];
}

function renderViews(files: readonly SchemaFile[], differences: readonly Difference[]): string[] {
  const views = differences.filter(({ kind }) => kind === 'view');
  const columns = differences.filter(({ kind }) => kind === 'view column');
  const gone = views.filter(({ after }) => after === undefined).map(({ name }) => name);
  const changed = [...views.map(({ name }) => name), ...columns.map(({ name }) => name.replace(/\.[^.]+$/, ''))];
  // In the order they are loaded in, as one may be made of another.
  const loaded = files.map(({ sql }) => sql).join('\n');
  const place = (name: string) => loaded.indexOf(`create or replace view ${name} `);
  return [
    ...gone.map((name) => `drop view if exists ${name};`),
    ...[...new Set(changed)]
      .filter((name) => !gone.includes(name))
      .sort((one, other) => place(one) - place(other))
      .map((name) =>
        find(
          files,
          name,
          new RegExp(`^create or replace view ${escaped(name)} [\\s\\S]*?(?=\\n\\n|(?![\\s\\S]))`, 'm'),
        ),
      ),
  ];
}

function renderPolicies(files: readonly SchemaFile[], differences: readonly Difference[]): string[] {
  return differences
    .filter(({ kind }) => kind === 'policy')
    .map(({ name, after }) =>
      after === undefined
        ? `drop policy if exists ${name};`
        : makePoliciesRepeatable(find(files, name, new RegExp(`^create policy ${escaped(name)}\\s[^;]*;`, 'm'))),
    );
}

/** Finds a trigger's text, with the statement below it that says when it fires. */
function renderTrigger(files: readonly SchemaFile[], { name, after }: Difference): string {
  const [trigger = '', table = ''] = name.split(' on ');
  if (after === undefined) return `drop trigger if exists ${trigger} on ${table};`;
  const statement = `^create or replace trigger ${escaped(trigger)}\\n.* on ${escaped(table)}\\n[\\s\\S]*?;$`;
  const mode = `(?:\\nalter table ${escaped(table)} enable always trigger ${escaped(trigger)};)?`;
  return find(files, name, new RegExp(statement + mode, 'm'));
}

function renderTriggers(files: readonly SchemaFile[], differences: readonly Difference[]): string[] {
  return differences
    .filter((difference) => difference.kind === 'trigger' && !isOfPartition(difference))
    .map((difference) => renderTrigger(files, difference));
}

/** Renders the part that only its author can write, which stops the migration until they have. */
function renderTables(differences: readonly Difference[]): string[] {
  const lines = differences
    .filter((difference) => !VERBATIM.has(difference.kind) || isOfPartition(difference))
    .flatMap(renderDifference);
  if (lines.length === 0) return [];
  return [
    `-- TO COMPLETE: write the statements that make these changes, keep the data in mind, and delete this comment and the
-- statement below it. Then run "npm run migration -- --seal".
--
${lines.map((line) => `--   ${line}`).join('\n')}
do $$ begin raise exception 'this migration is not complete'; end $$;`,
  ];
}

/** A migration's text, as far as it can be written by a program. */
export interface Draft {
  readonly sql: string;
  readonly isComplete: boolean;
}

/** Renders the migration that makes these differences; the functions, views, policies and triggers are those of `schemas/`. */
export function renderMigration(files: readonly SchemaFile[], differences: readonly Difference[]): Draft {
  const tables = renderTables(differences);
  const parts = [
    '-- TO DESCRIBE: what changes, and why.',
    "-- As in every function: names are qualified, and what changes rows here is not a change by hand.\nset search_path = '';",
    ...tables,
    'set check_function_bodies = off;',
    ...renderFunctions(files, differences),
    ...renderViews(files, differences),
    ...renderPolicies(files, differences),
    ...renderTriggers(files, differences),
    'reset check_function_bodies;\nreset search_path;',
  ];
  return { sql: `${parts.join('\n\n')}\n`, isComplete: tables.length === 0 };
}
