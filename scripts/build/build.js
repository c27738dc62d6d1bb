import { build, buildIfStale, runStep, takeOptions } from './steps.js';

// npm run build; with --if-stale only when the sources are not those of the last build.
const options = takeOptions('Usage: npm run build [-- --if-stale] (compiles to dist/)', ['--if-stale']);
await runStep(options.includes('--if-stale') ? buildIfStale : build);
