import { build, buildIfStale, runStep } from './steps.js';

// npm run build; with --if-stale only when the sources are not those of the last build.
await runStep(process.argv.includes('--if-stale') ? buildIfStale : build);
