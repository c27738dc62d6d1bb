import { Type } from '@sinclair/typebox';
import { EmailSchema } from '../email.js';

/** The code of an invitation, as the link of one has it behind `#code=`. */
export const InvitationCodeSchema = Type.String({
  minLength: 1,
  maxLength: 200,
  description: 'The code of an invitation; needed where SIGNUP is invite.',
});

export const VerifyEmailSchema = Type.Object(
  { token: Type.String({ minLength: 1, maxLength: 500, description: 'What the mailed link has behind #token=' }) },
  { additionalProperties: false },
);

export const VerifiedEmailSchema = Type.Object({
  message: Type.String({ description: 'A sentence for the person.' }),
  email: Type.String({ description: 'The address that is verified now.' }),
});

export const ResendVerificationSchema = Type.Object({ email: EmailSchema }, { additionalProperties: false });
