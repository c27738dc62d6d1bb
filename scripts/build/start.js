import module from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PROJECT_ROOT } from './sources.js';
import { buildIfStale, runStep, SERVER, takeOptions } from './steps.js';

// npm start: builds when it must, and becomes the server, so that signals reach it as they are.
takeOptions('Usage: npm start (starts the server, building it first where that is needed; see .env.example)');
await runStep(buildIfStale);
// From Node 22.8 on, compiled code is kept for the next start.
module.enableCompileCache?.(join(PROJECT_ROOT, 'dist/.compile-cache'));
await import(pathToFileURL(SERVER).href);
