import type { ErrorObject } from 'ajv';

/** What is wrong with one member of a request, in words for whoever filled it in. */
export interface Problem {
  /** The names that lead to it, joined by dots; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  null: 'null',
};

const FORMATS: Readonly<Record<string, string>> = {
  uuid: 'must be an id, as this API gives them (a UUID)',
  uri: 'must be a web address',
  'date-time': 'must be a time such as 2026-01-31T12:00:00Z',
};

/** What people fill in themselves is called by the name they know it by. */
const REQUESTS: Readonly<Record<string, string>> = {
  email: 'Enter an e-mail address',
  password: 'Enter a password',
  new_password: 'Enter the new password',
  current_password: 'Enter the current password',
};
const LABELS: Readonly<Record<string, string>> = {
  password: 'The password',
  new_password: 'The new password',
  current_password: 'The current password',
};

const count = (number: unknown, noun: string, plural = `${noun}s`) => `${number} ${number === 1 ? noun : plural}`;

/** Says what a value must be, by the rule it breaks; the sentence goes on after the member's name. */
function describeRule({ keyword, params }: ErrorObject): string {
  const { limit, type, format, allowedValue, allowedValues, pattern } = params;
  switch (keyword) {
    case 'type':
      return `must be ${[type]
        .flat()
        .map((name) => TYPES[name] ?? name)
        .join(' or ')}`;
    case 'minLength':
      return limit === 1 ? 'must not be empty' : `needs at least ${count(limit, 'character')}`;
    case 'maxLength':
      return `may have at most ${count(limit, 'character')}`;
    case 'minItems':
      return `needs at least ${count(limit, 'entry', 'entries')}`;
    case 'maxItems':
      return `may have at most ${count(limit, 'entry', 'entries')}`;
    case 'minProperties':
      return `needs at least ${count(limit, 'field')}`;
    case 'maxProperties':
      return `may have at most ${count(limit, 'field')}`;
    case 'minimum':
      return `must be at least ${limit}`;
    case 'maximum':
      return `must be at most ${limit}`;
    case 'const':
      return `must be ${allowedValue}`;
    case 'enum':
      return `must be one of: ${allowedValues.join(', ')}`;
    case 'uniqueItems':
      return 'must not name anything twice';
    case 'format':
      return FORMATS[format] ?? 'is not valid';
    case 'pattern':
      return pattern === '\\S' ? 'must not be blank' : 'is not valid';
    default:
      return 'is not valid';
  }
}

const toPath = (instancePath: string, name?: string): string =>
  [...instancePath.split('/').slice(1), ...(name === undefined ? [] : [name])]
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .join('.');

/** Says in one sentence what is wrong with a member. */
function describeMember(path: string, error: ErrorObject, whole: string): string {
  const name = path.split('.').at(-1) ?? '';
  const isMissing = error.keyword === 'required' || (error.keyword === 'minLength' && error.params['limit'] === 1);
  if (name === 'email' || (isMissing && Object.hasOwn(REQUESTS, name))) return REQUESTS[name] ?? '';
  if (error.keyword === 'required') return `${path} is missing`;
  if (error.keyword === 'additionalProperties') return `Unknown field: ${path}`;
  return `${path === '' ? whole : (LABELS[name] ?? path)} ${describeRule(error)}`;
}

const MOST = Number.MAX_SAFE_INTEGER;

/**
 * Returns the errors of the alternative that a value comes closest to: of the right type, with all members, and with the
 * fewest errors; the first where members are missing from all.
 */
function chooseAlternative(union: ErrorObject, errors: readonly ErrorObject[]): readonly ErrorObject[] {
  const branches = new Map<string, ErrorObject[]>();
  for (const error of errors) {
    const [branch = ''] = error.schemaPath.slice(union.schemaPath.length + 1).split('/');
    branches.set(branch, [...(branches.get(branch) ?? []), error]);
  }
  const isAbout = ({ instancePath, keyword }: ErrorObject) =>
    instancePath === union.instancePath && (keyword === 'type' || keyword === 'const');
  const lacksMember = ({ instancePath, keyword }: ErrorObject) =>
    instancePath === union.instancePath && keyword === 'required';
  const distance = (branch: readonly ErrorObject[]) => (branch.some(lacksMember) ? MOST : branch.length);
  const close = [...branches.values()].filter((branch) => !branch.some(isAbout));
  const [best] = close.sort((one, other) => distance(one) - distance(other));
  if (best !== undefined) return best;
  const literals = errors.filter(({ keyword }) => keyword === 'const').map(({ params }) => params['allowedValue']);
  if (literals.length > 0) return [{ ...union, keyword: 'enum', params: { allowedValues: literals } }];
  const types = errors.filter(isAbout).flatMap(({ params }) => params['type']);
  return [{ ...union, keyword: 'type', params: { type: [...new Set(types)] } }];
}

/** Leaves of each union's errors only those of the alternative that was meant, the innermost unions first. */
function settleUnions(errors: readonly ErrorObject[]): readonly ErrorObject[] {
  const position = errors.findIndex(({ keyword }) => keyword === 'anyOf');
  const union = errors[position];
  if (union === undefined) return errors;
  const isBelow = ({ schemaPath }: ErrorObject) => schemaPath.startsWith(`${union.schemaPath}/`);
  const earlier = errors.slice(0, position);
  const settled = chooseAlternative(union, earlier.filter(isBelow));
  const rest = [...earlier.filter((error) => !isBelow(error)), ...settled, ...errors.slice(position + 1)];
  return settleUnions(rest);
}

/**
 * Describes what a schema found wrong: a sentence for each member, the first that holds of it, without values.
 * @param whole what the whole is called: `The body`
 */
export function describeProblems(errors: readonly ErrorObject[], whole: string): Problem[] {
  const problems = new Map<string, Problem>();
  const isVague = ({ keyword }: ErrorObject) => Number(keyword === 'pattern');
  for (const error of [...settleUnions(errors)].sort((one, other) => isVague(one) - isVague(other))) {
    const name: unknown = error.params['missingProperty'] ?? error.params['additionalProperty'];
    const path = toPath(error.instancePath, typeof name === 'string' ? name : undefined);
    if (!problems.has(path)) problems.set(path, { path, message: describeMember(path, error, whole) });
  }
  return [...problems.values()];
}
