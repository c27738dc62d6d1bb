import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { SubjectSchema, TokenVersionSchema } from './claims.js';
import { verifyClientToken } from './client-tokens.js';

/** The subject of a token, with the version of its row the token was made for. */
export interface VersionedSubject {
  readonly id: string;
  readonly version: number;
}

/** Client tokens of one audience that end when the version in their subject's row is raised. */
export interface VersionedTokens {
  /** Signs a token. @param expiresIn its lifetime, in seconds or as `365d` */
  readonly sign: (app: FastifyInstance, subject: VersionedSubject, expiresIn: number | string) => string;
  /**
   * Returns the subject of a token; undefined for a good token of another audience.
   * @throws {ApiError} INVALID_TOKEN for a token this server did not sign, or that has expired
   */
  readonly parse: (app: FastifyInstance, token: string) => VersionedSubject | undefined;
  /**
   * Returns the subject of a token; whether its version is the current one is checked with each effect.
   * @throws {ApiError} INVALID_TOKEN
   */
  readonly verify: (app: FastifyInstance, token: string) => VersionedSubject;
}

/** Creates the signer and verifier of an audience's tokens. */
export function createVersionedTokens(audience: 'device'): VersionedTokens {
  const ClaimsSchema = Type.Object({ aud: Type.Literal(audience), sub: SubjectSchema, ver: TokenVersionSchema });
  const compiled = TypeCompiler.Compile(ClaimsSchema);

  const parse: VersionedTokens['parse'] = (app, token) => {
    const claims = verifyClientToken(app, token);
    return compiled.Check(claims) ? { id: claims.sub, version: claims.ver } : undefined;
  };
  return {
    parse,
    sign: (app, { id, version }, expiresIn) => {
      const claims: Static<typeof ClaimsSchema> = { aud: audience, sub: id, ver: version };
      return app.jwt.sign(claims, { expiresIn });
    },
    verify: (app, token) => {
      const subject = parse(app, token);
      if (subject === undefined) throw new ApiError('INVALID_TOKEN');
      return subject;
    },
  };
}
