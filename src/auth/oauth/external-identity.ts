import { Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { EmailSchema, parseEmail } from '../email.js';

export type ProviderName = 'google' | 'github';

/** A person as a sign-in provider knows them: keyed by its subject, with an address it verified. */
export type ExternalIdentity = {
  readonly provider: ProviderName;
  readonly subject: string;
  readonly email: string;
  readonly name: string | null;
  readonly picture: string | null;
};

const MAX_NAME_LENGTH = 200;
const MAX_PICTURE_LENGTH = 2048;
/** Control characters and lone surrogates: neither is part of a name, and Postgres cannot store all of them. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/gu;

const knownPerson = TypeCompiler.Compile(
  Type.Object({
    // OpenID Connect Core, §2: at most 255 ASCII characters.
    sub: Type.String({ pattern: '^[\\x21-\\x7e]{1,255}$' }),
    email: EmailSchema,
    // Google's tokeninfo writes booleans as text.
    email_verified: Type.Union([Type.Literal(true), Type.Literal('true')]),
    name: Type.Optional(Type.Unknown()),
    picture: Type.Optional(Type.Unknown()),
  }),
);

function parseName(claim: unknown): string | null {
  if (typeof claim !== 'string') return null;
  const name = claim.replace(UNPRINTABLE, ' ').trim();
  return name === '' ? null : [...name].slice(0, MAX_NAME_LENGTH).join('');
}

function parsePicture(claim: unknown): string | null {
  if (typeof claim !== 'string' || !URL.canParse(claim)) return null;
  const { href, protocol } = new URL(claim);
  return protocol === 'https:' && href.length <= MAX_PICTURE_LENGTH ? href : null;
}

/**
 * Parses a provider's claims (OpenID Connect Core, §5.1) into the person they are about; undefined without a subject, or
 * without an address the provider verified.
 */
export function parseIdentity(provider: ProviderName, claims: unknown): ExternalIdentity | undefined {
  if (!knownPerson.Check(claims)) return undefined;
  const email = parseEmail(claims.email);
  if (email === undefined) return undefined;
  return {
    provider,
    subject: claims.sub,
    email,
    name: parseName(claims.name),
    picture: parsePicture(claims.picture),
  };
}
