import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { Config } from '../../config/config.js';
import { HEADERS } from './headers.js';

/** The groups of routes, in the order in which somebody who writes an extension meets them. */
const TAGS = {
  Devices: 'Installations of an extension: they register, check, hold and debit their tokens.',
  Usage: 'What was used elsewhere is recorded; lists, sums and files of everything used.',
  Accounts: 'Sign-up, log-in, sessions and passwords.',
  'Sign-in': 'Signing in with Google and GitHub.',
  Users: "A person's profile, balance, devices and data.",
  'API keys': 'Keys for scripts, with scopes.',
  Chat: "Requests to language models, metered; also in OpenAI's and Anthropic's formats.",
  Settings: 'Settings that merge across devices, with history and a stream of changes.',
  Subscriptions: 'Paid tiers, through Stripe.',
  'Feature events': 'Which features of an extension are used, and the numbers they report.',
  Tracker: 'Counters by e-mail address alone, which never debit.',
  'Admin: session': "An admin's log-in, sessions, password and second factor.",
  'Admin: devices': 'Blocking, rotating, renaming and removing devices.',
  'Admin: users': 'Accounts, their plans, invitations and trackers.',
  'Admin: budget': 'Pools, allocations, plans, periods, prices and weights.',
  'Admin: usage': "Everybody's usage.",
  'Admin: reports': 'What there is at a glance, who did what, and whether the books add up.',
  'Admin: alerts': 'Who is told of what: thresholds, mails and webhooks.',
  'Admin: admins': 'Who may administer.',
  Webhooks: 'Called by Stripe, not by clients.',
  Health: 'For load balancers and monitoring.',
} as const;

const DESCRIPTION = `Meters and limits AI use for browser and IDE extensions: register a device, check before each prompt, log it afterwards.

Every path also exists without \`/api\`. Errors carry a stable \`code\`; send an \`Idempotency-Key\` with what moves tokens.`;

/**
 * Returns what the document says besides the routes.
 *
 * @param version of the server
 */
export function describeDocument(
  config: Config['http'],
  version: string,
): NonNullable<FastifyDynamicSwaggerOptions['openapi']> {
  return {
    openapi: '3.1.0',
    info: { title: 'Tokenledger', version, description: DESCRIPTION, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: config.isPublicUrlSet ? config.publicUrl : '/', description: 'This server' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    components: {
      headers: HEADERS,
      securitySchemes: {
        deviceToken: { type: 'http', scheme: 'bearer', description: 'device_token of a registration' },
        userToken: { type: 'http', scheme: 'bearer', description: 'token of a log-in' },
        apiKey: { type: 'http', scheme: 'bearer', description: 'an API key with the scope that is named' },
        apiKeyHeader: {
          type: 'apiKey',
          in: 'header',
          name: 'x-api-key',
          description: "The same, as clients made for Anthropic's API send it",
        },
        trackerToken: { type: 'http', scheme: 'bearer', description: 'sessionToken of a signup by e-mail' },
        adminToken: { type: 'http', scheme: 'bearer', description: 'token of an admin login' },
      },
    },
  };
}
