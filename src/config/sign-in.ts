import { type Static, Type } from '@sinclair/typebox';
import { parseList } from './list.js';
import { createRedirectCheck } from './redirect-uris.js';
import { Address, Key } from './variable-types.js';

/** The variables about signing in with Google and GitHub. */
export const SignIn = {
  GOOGLE_CLIENT_ID: Key(
    'OAuth client ids at Google, separated by commas, the one of redirects first; without it signing in with Google is off.',
  ),
  GOOGLE_CLIENT_SECRET: Key('The secret of the first; POST /auth/google works without.'),
  GITHUB_CLIENT_ID: Key('OAuth client id at GitHub; without it signing in with GitHub is off.'),
  GITHUB_CLIENT_SECRET: Key('Its secret.'),
  OAUTH_REDIRECT_URIS: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Where a sign-in may end, separated by commas: exact addresses, or prefixes ending in /.',
    }),
  ),
  GOOGLE_ISSUER: Address(
    'https://accounts.google.com',
    "Google's OpenID Connect issuer; like the next four https, except on this machine.",
  ),
  GOOGLE_TOKENINFO_URL: Address('https://oauth2.googleapis.com/tokeninfo', "Google's token information endpoint."),
  GOOGLE_USERINFO_URL: Address(
    'https://openidconnect.googleapis.com/v1/userinfo',
    "Google's user information endpoint.",
  ),
  GITHUB_BASE_URL: Address('https://github.com', 'GitHub, or a GitHub Enterprise Server.'),
  GITHUB_API_URL: Address('https://api.github.com', 'The API of GitHub, or of the Enterprise Server.'),
};

const SignInSchema = Type.Object(SignIn);

/** An OAuth client registered with a provider. */
interface OAuthClient {
  readonly clientId: string;
  readonly clientSecret: string;
}

function toOAuthClient(clientId: string | undefined, clientSecret: string | undefined): OAuthClient | undefined {
  return clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret };
}

/** Returns which providers people may sign in with. */
export function toSignInConfig(environment: Static<typeof SignInSchema>) {
  const googleClientIds = parseList(environment.GOOGLE_CLIENT_ID).filter((id) => id !== '');
  const google = toOAuthClient(googleClientIds[0], environment.GOOGLE_CLIENT_SECRET);
  const github = toOAuthClient(environment.GITHUB_CLIENT_ID, environment.GITHUB_CLIENT_SECRET);
  const googleAccessTokens = googleClientIds.length > 0 && {
    /** The clients whose tokens are accepted: browsers and development builds have one each. */
    clientIds: googleClientIds,
    tokenInfoUrl: environment.GOOGLE_TOKENINFO_URL,
    userInfoUrl: environment.GOOGLE_USERINFO_URL,
  };
  return {
    /** Returns whether a sign-in may end at an address. */
    isAllowedRedirect: createRedirectCheck(environment.OAUTH_REDIRECT_URIS),
    google: google && { ...google, issuer: environment.GOOGLE_ISSUER },
    /** Access tokens that a client got from Google itself; they need no secret. */
    googleAccessTokens: googleAccessTokens || undefined,
    github: github && { ...github, baseUrl: environment.GITHUB_BASE_URL, apiUrl: environment.GITHUB_API_URL },
  };
}
