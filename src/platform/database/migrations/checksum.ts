import { createHash } from 'node:crypto';

/** The statement every migration ends with: the database notes which text ran, whatever applied it. */
const RECORD =
  /-- Notes the SHA-256 of the text above\.\nselect private\.record_migration\('(\d{14})', '([0-9a-f]{64})'\);\n$/;

/** Returns a text's SHA-256 in hex, the same whatever line ends a check-out gave it. */
export function sha256Hex(text: string): string {
  return createHash('sha256').update(text.replaceAll('\r\n', '\n')).digest('hex');
}

/** What a migration's last statement says of it. */
export interface MigrationRecord {
  readonly version: string;
  readonly sha256: string;
  /** The text above the statement. */
  readonly body: string;
}

/** Reads the statement a migration ends with, or undefined where there is none. */
export function parseRecord(sql: string): MigrationRecord | undefined {
  const text = sql.replaceAll('\r\n', '\n');
  const [statement, version, sha256] = RECORD.exec(text) ?? [];
  if (statement === undefined || version === undefined || sha256 === undefined) return undefined;
  return { version, sha256, body: text.slice(0, -statement.length) };
}

/** Ends a migration with the statement that notes its SHA-256, in place of an earlier one. */
export function sealMigration(version: string, sql: string): string {
  const body = parseRecord(sql)?.body ?? `${sql.replaceAll('\r\n', '\n').trimEnd()}\n\n`;
  return `${body}-- Notes the SHA-256 of the text above.\nselect private.record_migration('${version}', '${sha256Hex(body)}');\n`;
}
