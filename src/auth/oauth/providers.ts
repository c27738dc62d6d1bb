import { type Config, publicUrlOf } from '../../config/config.js';
import { ApiError } from '../../platform/errors.js';
import type { ProviderName } from './external-identity.js';
import { githubProvider } from './github.js';
import { googleProvider } from './google.js';
import type { SignInProvider } from './provider.js';

/** Whom people may sign in with on this server. */
export interface SignInProviders {
  /**
   * The provider of this name, as a path spells it.
   * @throws {ApiError} NOT_FOUND, GOOGLE_DISABLED, GITHUB_DISABLED
   */
  readonly named: (name: string) => { readonly name: ProviderName; readonly provider: SignInProvider };
}

function google(config: Config): SignInProvider | undefined {
  const { GOOGLE_ISSUER: issuer, GOOGLE_CLIENT_ID: clientId, GOOGLE_CLIENT_SECRET: clientSecret } = config;
  if (clientId === undefined || clientSecret === undefined) return undefined;
  return googleProvider({ issuer, clientId, clientSecret, callbackUrl: callbackUrlOf(config, 'google') });
}

function github(config: Config): SignInProvider | undefined {
  const { GITHUB_CLIENT_ID: clientId, GITHUB_CLIENT_SECRET: clientSecret } = config;
  if (clientId === undefined || clientSecret === undefined) return undefined;
  const addresses = { baseUrl: config.GITHUB_BASE_URL, apiUrl: config.GITHUB_API_URL };
  return githubProvider({ ...addresses, clientId, clientSecret, callbackUrl: callbackUrlOf(config, 'github') });
}

/** The address to register with a provider. The Host header has no say in it. */
function callbackUrlOf(config: Config, name: ProviderName): string {
  return `${publicUrlOf(config)}/api/auth/oauth/${name}/callback`;
}

/** Builds the providers the configuration has credentials for; none of them is asked anything yet. */
export function createProviders(config: Config): SignInProviders {
  const providers = { google: google(config), github: github(config) };
  return {
    named: (name) => {
      if (name !== 'google' && name !== 'github') throw new ApiError('NOT_FOUND');
      const provider = providers[name];
      if (provider === undefined) throw new ApiError(name === 'google' ? 'GOOGLE_DISABLED' : 'GITHUB_DISABLED');
      return { name, provider };
    },
  };
}
