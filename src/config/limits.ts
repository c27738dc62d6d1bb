import { type Static, Type } from '@sinclair/typebox';
import { parseList } from './list.js';
import { PerMinute, PerMinuteByTier } from './variable-types.js';

/** The variables about what is limited by the minute. */
export const Limits = {
  RATE_LIMIT: Type.Union([Type.Literal('on'), Type.Literal('off')], {
    default: 'on',
    description: 'on, or off for load tests: then none of the limits below holds.',
  }),
  REDIS_URL: Type.Optional(
    Type.String({
      pattern: '^rediss?://',
      description:
        'Redis in which all servers count together, redis:// or rediss://; without it each counts by itself.',
    }),
  ),
  RATE_LIMIT_ADDRESS: PerMinute(6_000, 'Requests a minute of one address, or of one /64 network of IPv6 addresses.'),
  RATE_LIMIT_REGISTRATION: PerMinute(120, 'Device registrations a minute of one address.'),
  RATE_LIMIT_ACCOUNT: PerMinute(
    60,
    'Requests a minute of one address that need no token and may cost a password hash or a mail.',
  ),
  RATE_LIMIT_DEVICE: PerMinute(600, 'Requests a minute of one device.'),
  RATE_LIMIT_DEVICE_TOKENS: PerMinute(100_000, 'Device tokens one device may use in a minute.'),
  RATE_LIMIT_USER: PerMinuteByTier(
    '600,1200,2400',
    'Requests a minute of one account: of the tiers free, pro and premium, separated by commas.',
  ),
  RATE_LIMIT_USER_TOKENS: PerMinuteByTier(
    '1000000,2000000,4000000',
    'Language-model tokens one account may use in a minute, of each tier.',
  ),
  RATE_LIMIT_API_KEY: PerMinute(600, "Requests a minute of one API key, which count for its account's limit too."),
  RATE_LIMIT_ADMIN: PerMinute(600, 'Requests a minute of one admin.'),
  RATE_LIMIT_TRACKER: PerMinute(120, 'Requests a minute of all trackers of one account.'),
};

const LimitsSchema = Type.Object(Limits);

/** Returns the limits a minute; undefined where nothing is limited. */
export function toLimitsConfig(environment: Static<typeof LimitsSchema>) {
  if (environment.RATE_LIMIT === 'off') return undefined;
  return {
    redisUrl: environment.REDIS_URL,
    requests: {
      address: [environment.RATE_LIMIT_ADDRESS],
      registration: [environment.RATE_LIMIT_REGISTRATION],
      account: [environment.RATE_LIMIT_ACCOUNT],
      device: [environment.RATE_LIMIT_DEVICE],
      user: parseList(environment.RATE_LIMIT_USER).map(Number),
      'api-key': [environment.RATE_LIMIT_API_KEY],
      admin: [environment.RATE_LIMIT_ADMIN],
      tracker: [environment.RATE_LIMIT_TRACKER],
    },
    tokens: {
      device: [environment.RATE_LIMIT_DEVICE_TOKENS],
      user: parseList(environment.RATE_LIMIT_USER_TOKENS).map(Number),
    },
  };
}
