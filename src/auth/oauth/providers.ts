import type { Config } from '../../config/config.js';
import { ApiError } from '../../platform/errors.js';
import type { ProviderName } from './external-identity.js';
import { createGithubProvider } from './github.js';
import { createGoogleProvider } from './google.js';
import type { SignInProvider } from './provider.js';

/** The providers people may sign in with on this server. */
export interface SignInProviders {
  /**
   * Returns the provider of this name, as a path spells it.
   * @throws {ApiError} NOT_FOUND, GOOGLE_DISABLED, GITHUB_DISABLED
   */
  readonly require: (name: string) => { readonly name: ProviderName; readonly provider: SignInProvider };
}

/** Returns the address to register with a provider. The Host header has no say in it. */
function toCallbackUrl(publicUrl: string, name: ProviderName): string {
  return `${publicUrl}/api/auth/oauth/${name}/callback`;
}

/** Creates the providers the configuration has credentials for; none of them is asked anything yet. */
export function createProviders(config: Config['signIn'], publicUrl: string): SignInProviders {
  const { google, github } = config;
  const providers = {
    google: google && createGoogleProvider({ ...google, callbackUrl: toCallbackUrl(publicUrl, 'google') }),
    github: github && createGithubProvider({ ...github, callbackUrl: toCallbackUrl(publicUrl, 'github') }),
  };
  return {
    require: (name) => {
      if (name !== 'google' && name !== 'github') throw new ApiError('NOT_FOUND');
      const provider = providers[name];
      if (provider === undefined) throw new ApiError(name === 'google' ? 'GOOGLE_DISABLED' : 'GITHUB_DISABLED');
      return { name, provider };
    },
  };
}
