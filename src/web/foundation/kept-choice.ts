const PREFIX = 'tokenledger.';

/** Returns a choice that was kept in this browser, where it is one of those there are. */
export function recall<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
  try {
    const kept = localStorage.getItem(PREFIX + name);
    return choices.find((choice) => choice === kept);
  } catch {
    // Some browsers refuse all storage to private windows.
    return undefined;
  }
}

/** Keeps a choice in this browser, where it lets pages keep something. */
export function keep(name: string, choice: string): void {
  try {
    localStorage.setItem(PREFIX + name, choice);
  } catch {}
}
