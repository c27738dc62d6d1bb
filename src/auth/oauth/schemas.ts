import { Type } from '@sinclair/typebox';
import { SecondFactorCodeSchema } from '../second-factor/schemas.js';
import { UserSchema } from '../user-schema.js';

export const ProviderParamsSchema = Type.Object({
  provider: Type.String({ description: 'google or github.', examples: ['google'] }),
});

/** What a client begins a sign-in with. What else it sends is ignored, as RFC 6749, §3.1, wants it; so is it below. */
export const BeginSignInSchema = Type.Object(
  {
    redirect_uri: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 2_048,
        description:
          'Where the code is to go, one of OAUTH_REDIRECT_URIS; without it the browser itself gets the answer.',
      }),
    ),
    // RFC 6749, appendix A.5.
    state: Type.Optional(
      Type.String({ pattern: '^[\\x20-\\x7e]{1,512}$', description: "The client's own, returned with the code." }),
    ),
    code_challenge: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_-]{43}$',
        description: 'PKCE: base64url of the SHA-256 of a code_verifier.',
      }),
    ),
    code_challenge_method: Type.Optional(Type.Literal('S256')),
  },
  { additionalProperties: true },
);

/** The query a provider sends the browser back with. Clients must ignore anything else it adds (RFC 6749, §4.1.2). */
export const CallbackSchema = Type.Object(
  {
    state: Type.String({ minLength: 1, maxLength: 512 }),
    code: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
    error: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    iss: Type.Optional(Type.String({ maxLength: 200 })),
  },
  { additionalProperties: true, anyOf: [{ required: ['code'] }, { required: ['error'] }] },
);

export const ExchangeCodeSchema = Type.Object(
  {
    code: Type.String({ minLength: 1, maxLength: 128, description: 'What the sign-in brought to redirect_uri.' }),
    code_verifier: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: 'PKCE: required after a code_challenge, refused without one.',
      }),
    ),
    redirect_uri: Type.Optional(
      Type.String({ minLength: 1, maxLength: 2_048, description: 'Checked against the one the sign-in began with.' }),
    ),
  },
  { additionalProperties: true },
);

export const GoogleAccessTokenSchema = Type.Object(
  {
    access_token: Type.String({ minLength: 1, maxLength: 4_096, examples: ['ya29.a0AfB_byC...'] }),
    totp: Type.Optional(SecondFactorCodeSchema),
  },
  { additionalProperties: false },
);

/** An account as contract 4 answers it to a Google access token. */
export const GoogleUserSchema = Type.Omit(UserSchema, ['created_at', 'updated_at'], { title: 'GoogleUser' });

export const RedirectSchema = Type.Null({ description: 'Continue at the address in the `location` header.' });
