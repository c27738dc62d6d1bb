import { type DatabaseObject, listObjects, listRows } from './describe-schema.js';

/** An object two databases do not have in common, or not with the same definition. */
export interface Difference {
  readonly kind: string;
  readonly name: string;
  /** Definition in the first database, undefined where it has none. */
  readonly before: string | undefined;
  /** Definition in the second database, undefined where it has none. */
  readonly after: string | undefined;
}

/** Compares the objects of two databases. */
function findDifferences(before: readonly DatabaseObject[], after: readonly DatabaseObject[]): Difference[] {
  const keyed = (objects: readonly DatabaseObject[]) =>
    new Map(objects.map((object) => [`${object.kind} ${object.name}`, object]));
  const [first, second] = [keyed(before), keyed(after)];
  return [...new Map([...first, ...second]).entries()]
    .map(([key, { kind, name }]) => ({
      ...{ kind, name },
      before: first.get(key)?.definition,
      after: second.get(key)?.definition,
    }))
    .filter((difference) => difference.before !== difference.after)
    .sort((a, b) => (`${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1));
}

/** Compares two databases nobody has used: their schemas, and the rows that come with them. */
export async function compareDatabases(firstUrl: string, secondUrl: string): Promise<Difference[]> {
  const list = async (url: string) => [...(await listObjects(url)), ...(await listRows(url))];
  return findDifferences(await list(firstUrl), await list(secondUrl));
}

/** Renders a difference as lines that begin with - for what is gone and + for what is there now. */
export function renderDifference({ kind, name, before, after }: Difference): string[] {
  const line = (sign: string, definition: string) =>
    `${sign} ${kind} ${name} ${definition.replace(/\s+/g, ' ')}`.trim();
  return [...(before === undefined ? [] : [line('-', before)]), ...(after === undefined ? [] : [line('+', after)])];
}
