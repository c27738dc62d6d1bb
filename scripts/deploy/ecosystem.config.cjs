const { readFileSync } = require('node:fs');
const { availableParallelism } = require('node:os');
const { join } = require('node:path');
const { parseEnv } = require('node:util');

const root = join(__dirname, '../..');

/** The variables as the server will see them: those of the environment win over those of .env. */
function variables() {
  try {
    return { ...parseEnv(readFileSync(join(root, '.env'), 'utf8')), ...process.env };
  } catch (error) {
    if (error.code === 'ENOENT') return process.env;
    throw error;
  }
}

const { DATABASE_URL, DATABASE_POOL_SIZE, SUPABASE_URL, WORKERS } = variables();
// A server that starts workers itself is one process for PM2, and shares the connections out itself.
const supervises = Boolean(WORKERS) && WORKERS !== '1';
const clusters = Boolean(DATABASE_URL || SUPABASE_URL) && !supervises;
const instances = clusters ? availableParallelism() : 1;
// The connections of the machine; each process has its share.
const connections = Math.max(1, Math.floor(Number(DATABASE_POOL_SIZE ?? 12) / instances));

// For PM2: a process for every core, or a single one where the server brings its own Postgres or starts workers itself.
module.exports = {
  apps: [
    {
      name: 'tokenledger',
      cwd: root,
      script: 'dist/src/server.js',
      exec_mode: clusters ? 'cluster' : 'fork',
      instances,
      env: { DATABASE_POOL_SIZE: String(connections) },
      // A new process says that it is ready before an old one is told to stop.
      wait_ready: true,
      listen_timeout: 60_000,
      // Longer than the server gives its last requests (45 s), so that PM2 never cuts them off.
      kill_timeout: 50_000,
      // The server stops its Postgres itself, after the last request.
      treekill: false,
      // A database that is not up yet after a reboot is tried again, ever more slowly.
      exp_backoff_restart_delay: 200,
    },
  ],
};
