/** What a listener is told about: the version of the settings, and the numbers of the balance in tokens. */
export interface SyncState {
  readonly version: number;
  readonly allocated: number;
  readonly used: number;
  readonly reserved: number;
}

const EVENT_ID = /^([0-9]{1,16})-([0-9]{1,16})-([0-9]{1,16})-([0-9]{1,16})$/;

/** What the listener knew whose last event had this id; undefined for an id that is none of this server's. */
export function stateOfEventId(id: string | undefined): SyncState | undefined {
  const [version, allocated, used, reserved] = (EVENT_ID.exec(id ?? '') ?? []).slice(1).map(Number);
  if (version === undefined || allocated === undefined || used === undefined || reserved === undefined) {
    return undefined;
  }
  return { version, allocated, used, reserved };
}

function balanceChanged(state: SyncState, known: SyncState): boolean {
  return state.allocated !== known.allocated || state.used !== known.used || state.reserved !== known.reserved;
}

/**
 * The server-sent events that tell a listener of a state: `settings` with the version, `balance` with its numbers, each
 * where it differs from what they know. The id is with the last one only, so that whoever is cut off between the two is
 * told both again.
 */
export function eventsOf(state: SyncState, known: SyncState | undefined): string {
  const { version, allocated, used, reserved } = state;
  const events: string[] = [];
  if (version !== known?.version) events.push(`event: settings\ndata: ${JSON.stringify({ version })}`);
  if (known === undefined || balanceChanged(state, known)) {
    const balance = { allocated, used, reserved, remaining: allocated - used - reserved };
    events.push(`event: balance\ndata: ${JSON.stringify(balance)}`);
  }
  if (events.length === 0) return '';
  return `${events.join('\n\n')}\nid: ${version}-${allocated}-${used}-${reserved}\n\n`;
}
