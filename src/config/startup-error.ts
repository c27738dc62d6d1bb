import { inspect } from 'node:util';

/** A reason not to start that the operator can act on: printed as one line, without a stack. */
export class StartupError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartupError';
  }
}

/** Returns the system's code of an error (`ENOENT`, `EADDRINUSE`, …), or undefined. */
export function toSystemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Formats an error that ends the process: one line for the operator, everything where we did not expect it. */
export function formatFatalError(error: unknown): string {
  return error instanceof StartupError ? error.message : inspect(error);
}
