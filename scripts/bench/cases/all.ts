import { chat } from '../chat.js';
import { ACCOUNT_CASES } from './account-cases.js';
import type { Case } from './case.js';
import { DEVICE_CASES } from './device-cases.js';
import { memory } from './memory.js';
import { startUp } from './start-up.js';

/** All cases, in the order they are run. */
export const CASES: readonly Case[] = [...DEVICE_CASES, ...ACCOUNT_CASES, chat, startUp, memory];
