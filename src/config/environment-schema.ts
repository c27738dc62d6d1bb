import { type Static, Type } from '@sinclair/typebox';
import { Chat } from './chat.js';
import { Database } from './database.js';
import { ErrorReports } from './error-reports.js';
import { Grants } from './grants.js';
import { Http } from './http.js';
import { Limits } from './limits.js';
import { Mail } from './mail.js';
import { Payments } from './payments.js';
import { SignIn } from './sign-in.js';
import { Tokens } from './tokens.js';
import { Watching } from './watching.js';
import { Workers } from './workers.js';

/** Lists the variables by what they are for, in the order `.env.example` and docs/configuration.md show them. */
export const ENVIRONMENT_SECTIONS = {
  HTTP: Http,
  Processes: Workers,
  Limits: Limits,
  Database: Database,
  'Tokens and admin': Tokens,
  'Grants and enrollment': Grants,
  'Sign-in providers': SignIn,
  Chat: Chat,
  Payments: Payments,
  Mail: Mail,
  Watching: { ...Watching, ...ErrorReports },
} as const;

/** Every environment variable the server reads. `.env.example` and docs/configuration.md are generated from it. */
export const EnvironmentSchema = Type.Object({
  ...Http,
  ...Workers,
  ...Limits,
  ...Database,
  ...Tokens,
  ...Grants,
  ...SignIn,
  ...Chat,
  ...Payments,
  ...Mail,
  ...Watching,
  ...ErrorReports,
});
export type Environment = Static<typeof EnvironmentSchema>;
