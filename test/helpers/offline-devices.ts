import assert from 'node:assert/strict';
import type { Changes, Pulled, settingsOf } from './settings.js';

/** A change as a device made it; `arrived` is when it was first sent and when that was answered, by a right clock. */
export interface Made {
  readonly device: string;
  readonly name: string;
  readonly value: number | null;
  readonly claimed: number;
  arrived?: readonly [sent: number, answered: number];
}

/** A device as a client of the API would be: what it knows, what it has not sent, what it has sent. */
export class OfflineDevice {
  readonly unsent: Made[] = [];
  readonly sent: Made[] = [];
  version = 0;
  known = new Map<string, unknown>();

  constructor(
    readonly id: string,
    readonly settings: ReturnType<typeof settingsOf>,
    public offset: number,
  ) {}

  change(name: string, value: number | null): Made {
    const made: Made = { device: this.id, name, value, claimed: Date.now() + this.offset };
    this.unsent.push(made);
    return made;
  }

  /** Sends a change; an answer that is lost tells the device nothing, so it sends the same again one day. */
  async send(made: Made, answerLost: boolean): Promise<void> {
    const sentAt = Date.now();
    const { name, value, claimed: updated_at } = made;
    const changes: Changes = { [name]: value === null ? { deleted: true, updated_at } : { value, updated_at } };
    await this.settings.push(changes, this.id === '' ? undefined : this.id, this.version);
    made.arrived ??= [sentAt, Date.now()];
    if (answerLost) return;
    const index = this.unsent.indexOf(made);
    if (index >= 0) this.sent.push(...this.unsent.splice(index, 1));
  }

  async pull(): Promise<void> {
    const pulled: Pulled = await this.settings.pull(this.version);
    if (pulled.full) this.known.clear();
    for (const [name, standing] of Object.entries(pulled.changes)) {
      if (standing.deleted) this.known.delete(name);
      else this.known.set(name, standing.value);
    }
    this.version = pulled.version;
  }
}

/** Between which times a change counts as made, by a right clock. */
type Bounds = readonly [earliest: number, latest: number];

/**
 * A change counts as made when its device claims, but not after it first came. While a clock is ahead, its changes keep
 * their order: one that comes late counts as no newer than what the device changed after it. Two of the same device and
 * time are one.
 */
function boundsOf(change: Made, all: readonly Made[]): Bounds {
  const { claimed } = change;
  const later = all.filter(
    ({ device, claimed: other }) =>
      device === change.device && (other === claimed || (other > claimed && isAhead(change))),
  );
  const sent = Math.min(...later.map(({ arrived = [0, 0] }) => arrived[0]));
  const answered = Math.min(...later.map(({ arrived = [0, 0] }) => arrived[1]));
  return [Math.min(claimed, sent), isAhead(change) ? Math.min(claimed, answered) : claimed];
}

/** Whether a change may have come before the time it claims. */
const isAhead = ({ claimed, arrived = [0, 0] }: Made) => claimed > arrived[0];

/** What stands must be one of the changes that were made, and nobody's certainly newer change may have been lost to it. */
export function assertNewestStands(changes: readonly Made[], standing: unknown): void {
  const dated = changes.map((change) => ({ change, bounds: boundsOf(change, changes) }));
  const possible = dated.filter(({ bounds }) => !dated.some((other) => other.bounds[0] > bounds[1]));
  const values = changes.length === 0 ? [undefined] : possible.map(({ change }) => change.value ?? undefined);
  assert.ok(
    values.some((value) => value === standing),
    `${String(standing)} stands, and not one of ${JSON.stringify(possible)}`,
  );
}
