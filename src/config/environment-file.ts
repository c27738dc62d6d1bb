import { StartupError, toSystemCode } from './startup-error.js';

/**
 * Adds the variables of `.env` in the working directory to the environment; variables already set win.
 * @throws {StartupError} when the file is there but cannot be read
 */
export function loadEnvironmentFile(): void {
  try {
    process.loadEnvFile('.env');
  } catch (error) {
    const code = toSystemCode(error);
    if (code !== 'ENOENT')
      throw new StartupError(`.env cannot be read (${code ?? 'unknown reason'})`, { cause: error });
  }
}
