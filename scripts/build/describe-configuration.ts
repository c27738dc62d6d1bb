import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { ENVIRONMENT_SECTIONS } from '../../src/config/environment-schema.js';

const VariableSchema = Type.Object({
  description: Type.String({ minLength: 1 }),
  default: Type.Optional(Type.Union([Type.String(), Type.Number()])),
});

/** An environment variable, as an operator reads of it. */
export interface Variable extends Static<typeof VariableSchema> {
  readonly name: string;
}

/** Returns the variables the server reads, by section, in the order of the schema. */
export function listVariables(): readonly (readonly [section: string, variables: readonly Variable[]])[] {
  return Object.entries(ENVIRONMENT_SECTIONS).map(([section, properties]) => [
    section,
    Object.entries(properties).map(([name, property]) => ({ ...Value.Decode(VariableSchema, property), name })),
  ]);
}

/** Returns the text of `.env.example`: every variable with its description and default, commented out. */
export function toEnvironmentExample(): string {
  const paragraphs = listVariables().flatMap(([, variables]) =>
    variables.map(({ name, description, default: value = '' }) => `# ${description}\n# ${name}=${value}`),
  );
  return `${['# Copy this file to .env and remove the # from what you want to change. Environment variables take precedence.', ...paragraphs].join('\n\n')}\n`;
}

/** Returns the text of `docs/configuration.md`: a table of variables for each section. */
export function toConfigurationPage(): string {
  const sections = listVariables().map(([section, variables]) => {
    const rows = variables.map(({ name, description, default: value }) => {
      const shown = value === undefined ? '' : `\`${value}\``;
      return `| \`${name}\` | ${shown} | ${description} |`;
    });
    return [`## ${section}`, '', '| Variable | Default | What it does |', '|---|---|---|', ...rows].join('\n');
  });
  const introduction = [
    '# Configuration',
    '',
    'Everything is set by environment variables, or in a file `.env` beside `package.json`; variables take precedence over',
    'the file, and an empty variable counts as absent. The server works with nothing set. A feature whose keys are missing',
    'is off and says so with a code of its own; a variable that is not valid stops the start with a sentence that names it.',
    '',
    'Where ours are not set, API_URL stands in for PUBLIC_URL, SUPABASE_ANON_KEY for SUPABASE_PUBLISHABLE_KEY, and',
    'SUPABASE_SERVICE_ROLE_KEY for SUPABASE_SECRET_KEY. A name that looks like a typing error of ours is a warning at the start.',
    '',
    '<!-- Generated from src/config/environment-schema.ts by "npm run configuration". -->',
  ].join('\n');
  return `${[introduction, ...sections].join('\n\n')}\n`;
}
