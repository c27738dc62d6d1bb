import { readFile, statfs } from 'node:fs/promises';

const FOLDER = '/dev/shm';
/** More than the databases of a run take at once, and what else needs memory meanwhile. */
const ROOM_BYTES = 4 * 2 ** 30;
const AVAILABLE_KIB = 10 * 2 ** 20;

/** Tells whether programs may be started from the folder, which containers often forbid. */
async function mayExecute(): Promise<boolean> {
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  const options = mounts.findLast(([, where]) => where === FOLDER)?.[3] ?? 'noexec';
  return !options.split(',').includes('noexec');
}

/**
 * Returns a folder for temporary files that is memory, or undefined where there is none with room. Postgres copies a
 * thousand files for every database of a test: a disk takes longer for their names than for what is in them.
 */
export async function findMemoryFolder(): Promise<string | undefined> {
  try {
    const { bavail, bsize } = await statfs(FOLDER);
    const [, available] = /^MemAvailable: +(\d+) kB$/m.exec(await readFile('/proc/meminfo', 'utf8')) ?? [];
    const hasRoom = bavail * bsize >= ROOM_BYTES && Number(available) >= AVAILABLE_KIB;
    return hasRoom && (await mayExecute()) ? FOLDER : undefined;
  } catch {
    return undefined;
  }
}
