import asyncHooks from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';

/*
 * Imported before tap, which follows every promise to know the test it belongs to: a sixth to a quarter of what the tests
 * take. Without that, an error nobody catches ends the process, and the file that runs in it has failed.
 */
asyncHooks.createHook = () => {
  const hook = { enable: () => hook, disable: () => hook };
  return hook;
};
syncBuiltinESMExports();
