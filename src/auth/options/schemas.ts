import { Type } from '@sinclair/typebox';
import { OneOf } from '../../platform/http/one-of.js';

export const SignInOptionsSchema = Type.Object(
  {
    sign_up: OneOf(['open', 'verified', 'invite', 'closed'], {
      description: 'Who may have an account: anybody, anybody who proves the address, whoever is invited, nobody new.',
    }),
    providers: Type.Array(OneOf(['google', 'github']), { description: 'Where people may sign in from.' }),
    mails: Type.Boolean({ description: 'Whether links can be mailed, such as for a forgotten password.' }),
    mails_logged: Type.Boolean({
      description: "Whether mails are written to the server's log instead of being sent, as no mail server is set.",
    }),
    signed_in_page: Type.String({
      description: "This server's own page that a sign-in with a provider may end at, as redirect_uri.",
    }),
  },
  { title: 'SignInOptions' },
);
