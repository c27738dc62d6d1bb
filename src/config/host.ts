import type { Variables } from './aliases.js';

/** Platforms whose routers reach the server over the network, by the variable that each of them sets. */
const PLATFORMS: Readonly<Record<string, string>> = {
  DYNO: 'Heroku',
  RAILWAY_ENVIRONMENT_ID: 'Railway',
  RENDER: 'Render',
  FLY_APP_NAME: 'Fly.io',
  K_SERVICE: 'Cloud Run',
  KUBERNETES_SERVICE_HOST: 'Kubernetes',
};

const LOOPBACK = '127.0.0.1';
const EVERY_INTERFACE = '0.0.0.0';

/** Where the server listens, and the platform that was the reason where nobody said so. */
export interface HostConfig {
  readonly host: string;
  readonly platform?: string;
}

/**
 * Returns the address to listen on: the one that is set, every interface on a platform whose router comes over the
 * network, and otherwise this machine alone, where a proxy with HTTPS belongs in front.
 */
export function toHostConfig(host: string | undefined, variables: Variables): HostConfig {
  const found = Object.entries(PLATFORMS).find(([name]) => variables[name]);
  if (found === undefined) return { host: host ?? LOOPBACK };
  return { host: host ?? EVERY_INTERFACE, platform: found[1] };
}

/**
 * Returns what the operator should know of a server on a platform, a line each; none elsewhere.
 * @param embedded whether the server brings its own database
 */
export function listPlatformNotices(
  { host, platform }: HostConfig,
  { HOST, TRUST_PROXY }: Variables,
  embedded: boolean,
): string[] {
  if (platform === undefined) return [];
  const notices: string[] = [];
  if (!HOST) notices.push(`HOST is not set: listening on ${host}, as this is ${platform}`);
  if (host === LOOPBACK) notices.push(`HOST=${host}: the router of ${platform} cannot reach the server; take HOST out`);
  if (!TRUST_PROXY) {
    notices.push(
      `TRUST_PROXY is not set: all who come through the router of ${platform} count as one address, see docs/deploy.md`,
    );
  }
  if (embedded) {
    notices.push(
      `Neither DATABASE_URL nor SUPABASE_URL is set: the disk of ${platform}, and the database on it, goes with the next deploy`,
    );
  }
  return notices;
}
