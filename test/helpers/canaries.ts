import type { TestDatabase } from './db/test-database.js';

/** How a secret may be written: as it is, as hex or base64 of it, and as hex of the bytes it stands for. */
function listForms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const decoded = Buffer.from(secret, 'base64url');
  const forms = [secret, bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')];
  return /^[\w-]{40,}$/.test(secret) ? [...forms, decoded.toString('hex')] : forms;
}

/** Secrets that were sent or given out and must turn up nowhere. */
export interface Canaries {
  /** Remembers a secret; a token's signature is one by itself. */
  readonly add: (secret: string) => string;
  /** The secrets a text contains, in whatever form. */
  readonly foundIn: (text: string) => string[];
}

/** So many characters of a form are looked up at each place of a text: quicker than to look for each form in all of it. */
const PREFIX_LENGTH = 12;
/** How many sums of characters there are. */
const SUMS = 2 ** 16;

/** Adds up some characters of a prefix: few places of a text have the sum of any, and only those are looked up. */
const sumAt = (text: string, at: number): number =>
  (text.charCodeAt(at) * 961 + text.charCodeAt(at + 4) * 31 + text.charCodeAt(at + PREFIX_LENGTH - 1) * 7_919) % SUMS;

/** Starts without a secret. */
export function openCanaries(): Canaries {
  const formsByPrefix = new Map<string, Map<string, string>>();
  const sums = new Uint8Array(SUMS);
  const remember = (secret: string) => {
    for (const form of listForms(secret)) {
      if (form.length < PREFIX_LENGTH) throw new Error('a secret this short may turn up by chance');
      const prefix = form.slice(0, PREFIX_LENGTH);
      const forms = formsByPrefix.get(prefix) ?? new Map<string, string>();
      formsByPrefix.set(prefix, forms.set(form, secret));
      sums[sumAt(form, 0)] = 1;
    }
  };
  const foundIn = (text: string) => {
    const found = new Set<string>();
    for (let at = 0; at + PREFIX_LENGTH <= text.length; at += 1) {
      if (sums[sumAt(text, at)] === 0) continue;
      for (const [form, secret] of formsByPrefix.get(text.slice(at, at + PREFIX_LENGTH)) ?? []) {
        if (text.startsWith(form, at)) found.add(secret);
      }
    }
    return [...found];
  };
  return {
    add: (secret) => {
      remember(secret);
      const [, , signature] = secret.split('.');
      if (signature !== undefined) remember(signature);
      return secret;
    },
    foundIn,
  };
}

/** Bodies most routes refuse, with a secret in every place that might be quoted. */
export function brokenBodies(payload: object): string[] {
  const json = JSON.stringify(payload);
  const wrong = Object.entries(payload).flatMap(([name, value]) => [
    JSON.stringify({ ...payload, [name]: [value] }),
    JSON.stringify({ ...payload, [name]: { [String(value)]: value } }),
    JSON.stringify({ ...payload, [name]: `${String(value)}\u0000` }),
    JSON.stringify({ ...payload, [name]: String(value).repeat(40) }),
  ]);
  return [json.slice(0, -1), `${json}${json}`, JSON.stringify(json), JSON.stringify([payload]), ...wrong];
}

const TABLES = `
  select c.oid::regclass::text as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   order by 1`;

/** The text of every row of a database, by table, with what binary columns hold beside its hex. */
export async function textOfTables(database: TestDatabase): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const { name } of await database.sql<{ name: string }>(TABLES)) {
    const rows = await database.sql<{ row: string }>(`select t::text as row from ${name} t`);
    const text = rows.map(({ row }) => row).join('\n');
    const bytes = [...text.matchAll(/\\x([0-9a-f]+)/g)].map(([, hex = '']) =>
      Buffer.from(hex, 'hex').toString('latin1'),
    );
    texts.set(name, [text, ...bytes].join('\n'));
  }
  return texts;
}
