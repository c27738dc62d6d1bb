import { Type } from '@sinclair/typebox';
import { TypedPasswordSchema } from '../passwords.js';

export const SecondFactorCodeSchema = Type.String({
  minLength: 6,
  maxLength: 40,
  description: 'The six digits an authenticator app shows, or a recovery code.',
});

export const PendingSecondFactorSchema = Type.Object({
  secret: Type.String({ description: 'To type into an authenticator app.' }),
  uri: Type.String({ description: 'The same as an otpauth:// address, to show as a QR code.' }),
});

export const RecoveryCodes = Type.Array(Type.String(), {
  description: 'Each stands in for a code once; shown in this response only.',
});

const CurrentPassword = Type.Optional(TypedPasswordSchema);

export const OwnSecondFactorSchema = Type.Object(
  {
    enabled: Type.Boolean({ description: 'Whether signing in asks for a code.' }),
    enabled_at: Type.Union([Type.String(), Type.Null()]),
    recovery_codes_left: Type.Integer({ description: 'Recovery codes that were not used.' }),
  },
  { title: 'SecondFactor' },
);

export const BeginOwnSecondFactorSchema = Type.Union([
  Type.Null(),
  Type.Object(
    { current_password: CurrentPassword },
    {
      additionalProperties: false,
      description: 'Without the password the session must be opened, or proved again, within 5 minutes.',
    },
  ),
]);

export const ConfirmOwnSecondFactorSchema = Type.Object(
  { totp: SecondFactorCodeSchema },
  { additionalProperties: false },
);

/** What changes a second factor needs: all its owner can show. */
export const OwnProofSchema = Type.Object(
  { totp: SecondFactorCodeSchema, current_password: CurrentPassword },
  {
    additionalProperties: false,
    description:
      'An account without a password needs a session that was opened, or proved again, within 5 minutes in its place.',
  },
);

export const RecoveryCodesSchema = Type.Object({ recovery_codes: RecoveryCodes });

export const RemovedOwnSecondFactorSchema = Type.Object({ removed: Type.Literal(true) });

export const FinishSignInSchema = Type.Object(
  {
    challenge: Type.String({
      minLength: 1,
      maxLength: 100,
      description:
        'What the sign-in was answered with SECOND_FACTOR_REQUIRED; it lasts 5 minutes and opens one session.',
    }),
    totp: SecondFactorCodeSchema,
  },
  { additionalProperties: false },
);
