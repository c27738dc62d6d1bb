import { chat } from '../chat.js';
import type { Case } from './case.js';
import { HTTP_CASES } from './http-cases.js';
import { memory } from './memory.js';
import { startUp } from './start-up.js';

/** All cases, in the order they are run. */
export const CASES: readonly Case[] = [...HTTP_CASES, chat, startUp, memory];
