import { readFileSync } from 'node:fs';
import { CLOCK_VARIABLE, installClock } from './clock.js';

const POLL_MS = 50;

// Loaded by --import into a server, its workers and what else it starts: its clock is as wrong as a file says, at any time.
const file = process.env[CLOCK_VARIABLE];
if (file !== undefined) {
  let offset = 0;
  installClock(() => offset);
  setInterval(() => {
    try {
      offset = Number(readFileSync(file, 'utf8'));
    } catch {
      offset = 0;
    }
  }, POLL_MS).unref();
}
