/** The state a listener follows: the version of the settings, and the numbers of the balance in tokens. */
export interface SyncState {
  readonly version: number;
  readonly allocated: number;
  readonly used: number;
  readonly reserved: number;
}

const EVENT_ID = /^([0-9]{1,16})-([0-9]{1,16})-([0-9]{1,16})-([0-9]{1,16})$/;

function toEventId({ version, allocated, used, reserved }: SyncState): string {
  return `${version}-${allocated}-${used}-${reserved}`;
}

/** Parses the id of an event into the state it told of; undefined for an id this server did not give out. */
export function parseEventId(id: string | undefined): SyncState | undefined {
  const [version, allocated, used, reserved] = (EVENT_ID.exec(id ?? '') ?? []).slice(1).map(Number);
  if (version === undefined || allocated === undefined || used === undefined || reserved === undefined) {
    return undefined;
  }
  return { version, allocated, used, reserved };
}

function hasBalanceChanged(state: SyncState, known: SyncState): boolean {
  return state.allocated !== known.allocated || state.used !== known.used || state.reserved !== known.reserved;
}

/**
 * Returns the server-sent events that tell a listener of a state: `settings` with the version, `balance` with its
 * numbers, each only where it differs from the known state. Only the last one carries the id, so that a listener cut off
 * between the two is sent both again.
 */
export function toServerSentEvents(state: SyncState, known: SyncState | undefined): string {
  const { version, allocated, used, reserved } = state;
  const events: string[] = [];
  if (version !== known?.version) events.push(`event: settings\ndata: ${JSON.stringify({ version })}`);
  if (known === undefined || hasBalanceChanged(state, known)) {
    const balance = { allocated, used, reserved, remaining: allocated - used - reserved };
    events.push(`event: balance\ndata: ${JSON.stringify(balance)}`);
  }
  if (events.length === 0) return '';
  return `${events.join('\n\n')}\nid: ${toEventId(state)}\n\n`;
}
