import { StartupError, toSystemCode } from './startup-error.js';

/**
 * Adds the variables of `.env` in the working directory to the environment; variables already set win.
 *
 * @returns takes them out again, so that a process we start reads the file as it is then
 * @throws {StartupError} when the file is there but cannot be read
 */
export function loadEnvironmentFile(): () => void {
  const given = new Set(Object.keys(process.env));
  try {
    process.loadEnvFile('.env');
  } catch (error) {
    const code = toSystemCode(error);
    if (code !== 'ENOENT')
      throw new StartupError(`.env cannot be read (${code ?? 'unknown reason'})`, { cause: error });
  }
  return () => {
    for (const name of Object.keys(process.env)) if (!given.has(name)) delete process.env[name];
  };
}
