import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { Operation } from './operations.js';
import { CANARY } from './parties.js';
import type { MadeUp } from './requests.js';

/** An answer of the server. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** Statuses that say the upstream of chat failed, which the stand-in does for requests that make no sense. */
const UPSTREAM_FAILED = [502, 529];

/** What is not set up on the server that is tried, such as payments, says so. */
const NOT_SET_UP = /"code":"[A-Z_]+_DISABLED"/;

/** An event of Stripe's about what Stripe does not know comes from another account: only the operator can put that right. */
const OTHER_ACCOUNT = /"code":"PAYMENTS_MISCONFIGURED"/;

/** Tells whether a status of 500 or more is somebody else's fault, or nobody's. */
function isExcused({ responses }: Operation, { status, text }: Answer): boolean {
  if (status === 500) return OTHER_ACCOUNT.test(text);
  if (status === 503) return NOT_SET_UP.test(text);
  return UPSTREAM_FAILED.includes(status) && String(status) in responses;
}

/** Creates what says what is wrong with an answer; undefined where nothing is. */
export function createJudge(): (operation: Operation, request: MadeUp, answer: Answer) => string | undefined {
  const ajv = new Ajv2020({ strict: false, allErrors: false });
  formats.default(ajv);
  return (operation, { party }, answer) => {
    const { status, type, text } = answer;
    if (status >= 500 && !isExcused(operation, answer)) return `an answer of ${status}`;
    const declared = operation.responses[String(status)];
    if (declared === undefined) return `${status}, which is not declared`;
    if (party !== 'admin' && text.includes(CANARY)) return 'data of somebody else';
    const content = declared.content ?? {};
    const media = type.split(';')[0] ?? '';
    if (text !== '' && Object.keys(content).length > 0 && !(media in content)) return `${media}, which is not declared`;
    const schema = content[media]?.schema;
    if (schema === undefined || !media.endsWith('json')) return undefined;
    const validate = ajv.compile(schema);
    return validate(JSON.parse(text)) ? undefined : `a body that does not fit: ${ajv.errorsText(validate.errors)}`;
  };
}
