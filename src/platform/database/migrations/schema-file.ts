import { join } from 'node:path';
import { PROJECT_ROOT } from '../../project-root.js';
import type { Migration } from './migrations.js';

/** The whole schema in one file, to paste into Supabase's SQL editor. */
export const SCHEMA_FILE = join(PROJECT_ROOT, 'supabase', 'schema.sql');

const HEADER = `-- The whole schema of Tokenledger, to paste into the SQL editor of a Supabase project.
-- The same as "supabase db push", and safe to run again. Made by "npm run schema"; edit supabase/migrations instead.

begin;
`;

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function section({ version, name, sql }: Migration): string {
  return `
-- ${version}_${name}

${sql.trim()}

insert into supabase_migrations.schema_migrations (version, name)
values (${literal(version)}, ${literal(name)})
on conflict (version) do nothing;
`;
}

/**
 * The text of `supabase/schema.sql`: every migration in order, each recorded as `supabase db push` records it, all or
 * nothing.
 */
export function schemaFile(migrations: readonly Migration[]): string {
  const sections = migrations.map(section).join('');
  return `${HEADER}${sections}\ncommit;\n\n-- The Data API reads the functions again.\nnotify pgrst, 'reload schema';\n`;
}
