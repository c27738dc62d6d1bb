import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  ClientSecretPost,
  Configuration,
  type CustomFetch,
  calculatePKCECodeChallenge,
  customFetch,
  fetchProtectedResource,
} from 'openid-client';
import { parseIdentity } from './external-identity.js';
import { createRefusal, PROVIDER_TIMEOUT_SECONDS, type SignInProvider, withProviderErrors } from './provider.js';

/** The OAuth client at GitHub, and the addresses of GitHub. */
export interface GithubClient {
  readonly baseUrl: string;
  readonly apiUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** The address registered with GitHub, to which it sends browsers back. */
  readonly callbackUrl: string;
}

const ProfileSchema = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  login: Type.String(),
  name: Type.Union([Type.String(), Type.Null()]),
  avatar_url: Type.String(),
});
const AddressesSchema = Type.Array(
  Type.Object({ email: Type.String(), primary: Type.Boolean(), verified: Type.Boolean() }),
);
const RefusalSchema = Type.Object({ error: Type.String() });

/** Turns the 200 GitHub refuses a code with into the 400 of RFC 6749, §5.2, which the client library looks for. */
const conformingFetch: CustomFetch = async (url, { body, duplex: _unused, ...options }) => {
  const response = await fetch(url, { ...options, body: body ?? null });
  const answer: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  if (response.status !== 200 || !Value.Check(RefusalSchema, answer)) return response;
  return new Response(JSON.stringify(answer), { status: 400, headers: response.headers });
};

function configure({ baseUrl, clientId, clientSecret }: GithubClient): Configuration {
  const issuer = `${baseUrl.replace(/\/+$/, '')}/login/oauth`;
  const endpoints = { authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/access_token` };
  const configuration = new Configuration(
    { issuer, ...endpoints },
    clientId,
    undefined,
    ClientSecretPost(clientSecret),
  );
  configuration.timeout = PROVIDER_TIMEOUT_SECONDS;
  configuration[customFetch] = conformingFetch;
  // The server's configuration lets http through on this machine only.
  if (issuer.startsWith('http:')) allowInsecureRequests(configuration);
  return configuration;
}

/** Creates the sign-in with GitHub: OAuth 2 with PKCE, and its API for who somebody is, as it knows no ID tokens. */
export function createGithubProvider(client: GithubClient): SignInProvider {
  const github = configure(client);

  async function read<Schema extends TSchema>(schema: Schema, path: string, token: string): Promise<Static<Schema>> {
    const url = new URL(`${client.apiUrl.replace(/\/+$/, '')}${path}`);
    const headers = new Headers({ accept: 'application/vnd.github+json', 'x-github-api-version': '2022-11-28' });
    const response = await fetchProtectedResource(github, token, url, 'GET', undefined, headers);
    const answer: unknown = response.status === 200 ? await response.json() : undefined;
    if (!Value.Check(schema, answer)) throw new Error(`${path} answered ${response.status}, or not what was expected`);
    return answer;
  }

  return {
    authorizationUrl: async ({ state, codeVerifier }) =>
      buildAuthorizationUrl(github, {
        redirect_uri: client.callbackUrl,
        scope: 'read:user user:email',
        state,
        code_challenge: await calculatePKCECodeChallenge(codeVerifier),
        code_challenge_method: 'S256',
      }),
    identity: (search, { state, codeVerifier }) =>
      withProviderErrors('GitHub', async () => {
        const checks = { expectedState: state, pkceCodeVerifier: codeVerifier };
        const tokens = await authorizationCodeGrant(github, new URL(search, client.callbackUrl), checks);
        const profile = await read(ProfileSchema, '/user', tokens.access_token);
        const addresses = await read(AddressesSchema, '/user/emails', tokens.access_token);
        const primary = addresses.find((address) => address.primary);
        const identity = parseIdentity('github', {
          sub: String(profile.id),
          email: primary?.email,
          email_verified: primary?.verified,
          name: profile.name ?? profile.login,
          picture: profile.avatar_url,
        });
        if (identity === undefined) throw createRefusal();
        return identity;
      }),
  };
}
