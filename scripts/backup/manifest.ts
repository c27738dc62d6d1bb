import { type Static, Type } from '@sinclair/typebox';

// An archive is a gzipped tar: secrets.json where the backup has some, each table's rows as text of COPY in parts, and at
// the end manifest.json with the checksums of all before it, so that a part of an archive is never taken for a whole.

export const MANIFEST_FILE = 'manifest.json';
export const SECRETS_FILE = 'secrets.json';

const Sha256Schema = Type.String({ pattern: '^[0-9a-f]{64}$' });
const NameSchema = Type.String({ pattern: '^(public|private)\\.[a-z_][a-z0-9_]*$' });
// They become part of statements.
const ColumnSchema = Type.String({ pattern: '^([a-z_][a-z0-9_]*|"[a-z_][a-z0-9_]*")$' });

export const ManifestSchema = Type.Object({
  format: Type.Literal('tokenledger backup 1'),
  created_at: Type.String(),
  postgres: Type.String(),
  migrations: Type.Array(Type.Object({ version: Type.String(), sha256: Type.String() }), { minItems: 1 }),
  tables: Type.Array(
    Type.Object({
      name: NameSchema,
      columns: Type.Array(ColumnSchema, { minItems: 1 }),
      rows: Type.Integer({ minimum: 0 }),
      parts: Type.Integer({ minimum: 0 }),
      sha256: Sha256Schema,
    }),
  ),
  sequences: Type.Array(
    Type.Object({ name: NameSchema, value: Type.String({ pattern: '^-?[0-9]+$' }), called: Type.Boolean() }),
  ),
  months: Type.Array(Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-01$' })),
  secrets_sha256: Type.Optional(Sha256Schema),
});
/** What an archive holds, with checksums. */
export type Manifest = Static<typeof ManifestSchema>;
/** What it says of a table. */
export type ManifestTable = Manifest['tables'][number];

export const SecretsFileSchema = Type.Object({ jwt_secret: Type.String({ minLength: 32 }) });

/** Returns the name of a part of a table's rows. */
export function partName(table: string, part: number): string {
  return `data/${table}/${String(part).padStart(6, '0')}.copy`;
}
