import { Type } from '@sinclair/typebox';
import { Most } from './variable-types.js';

/** The variables about what new devices, accounts and trackers get. */
export const Grants = {
  DEFAULT_DEVICE_TOKENS: Type.Integer({
    default: 50,
    minimum: 0,
    maximum: 1_000_000_000_000,
    description: 'Tokens a new device starts with.',
  }),
  DEFAULT_USER_TOKENS: Type.Integer({
    default: 1_000_000,
    minimum: 0,
    maximum: 1_000_000_000_000,
    description: 'Tokens an account starts with, once per verified address; see SIGNUP.',
  }),
  SIGNUP: Type.Optional(
    Type.Union([Type.Literal('open'), Type.Literal('verified'), Type.Literal('invite'), Type.Literal('closed')], {
      description:
        'Who may have an account. open: anybody, with DEFAULT_USER_TOKENS at once; verified: anybody, with the tokens once the address is verified; invite: only with an invitation; closed: no new accounts. Without it verified where chat or payments are set up, open elsewhere.',
    }),
  ),
  MONTHLY_RESET: Type.Union([Type.Literal('off'), Type.Literal('auto')], {
    default: 'off',
    description: 'auto: at the start of each month (UTC) every device gets a fresh DEFAULT_DEVICE_TOKENS.',
  }),
  DEVICE_ENROLLMENT: Type.Union([Type.Literal('open'), Type.Literal('key'), Type.Literal('approval')], {
    default: 'open',
    description:
      'open: any device may register; key: only with ENROLLMENT_KEY; approval: new devices start with 0 tokens.',
  }),
  ENROLLMENT_KEY: Type.Optional(
    Type.String({ minLength: 8, maxLength: 256, description: 'What devices must send when DEVICE_ENROLLMENT is key.' }),
  ),
  EMAIL_ONLY_SIGNUP: Type.Optional(
    Type.Union([Type.Literal('on'), Type.Literal('off')], {
      description:
        'Whether there is POST /signup, which gives whoever knows an address a token for /trackUsage; on unless chat or payments are set up.',
    }),
  ),
  TRACKER_CALL_PROMPTS: Most(1_000, 'Most prompts one POST /trackUsage may count.'),
  TRACKER_CALL_TOKENS: Most(10_000_000, 'Most tokens one POST /trackUsage may count.'),
  TRACKER_DAY_PROMPTS: Most(10_000, 'Most prompts trackers may count for one account in a day (UTC).'),
  TRACKER_DAY_TOKENS: Most(100_000_000, 'Most tokens trackers may count for one account in a day.'),
  PROMPT_THRESHOLD: Type.Integer({
    default: 10,
    minimum: 0,
    maximum: 1_000_000_000,
    description: 'The threshold /trackUsage returns; extensions decide what it means.',
  }),
};
