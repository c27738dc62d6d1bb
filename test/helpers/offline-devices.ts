import assert from 'node:assert/strict';
import type { Changes, createSettingsClient, Pulled } from './settings.js';

/** A change as a device made it; `arrived` tells when it was first sent and answered, by a correct clock. */
export interface Made {
  readonly device: string;
  readonly name: string;
  readonly value: number | null;
  readonly claimed: number;
  arrived?: readonly [sent: number, answered: number];
}

/** A device as a client of the API: what it knows, what it has yet to send, what it has sent. */
export class OfflineDevice {
  readonly unsent: Made[] = [];
  readonly sent: Made[] = [];
  version = 0;
  known = new Map<string, unknown>();

  constructor(
    readonly id: string,
    readonly settings: ReturnType<typeof createSettingsClient>,
    public offset: number,
  ) {}

  change(name: string, value: number | null): Made {
    const made: Made = { device: this.id, name, value, claimed: Date.now() + this.offset };
    this.unsent.push(made);
    return made;
  }

  /** Sends a change; after a lost answer the device knows nothing and will send the same again. */
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

/** The times between which a change counts as made, by a correct clock. */
type Bounds = readonly [earliest: number, latest: number];

/**
 * Returns when a change counts as made: when its device claims, but not after it first arrived. Changes by a clock that
 * is ahead keep their order: a late one counts as no newer than those the device made after it. Two by the same device
 * at the same time are one.
 */
function toBounds(change: Made, all: readonly Made[]): Bounds {
  const { claimed } = change;
  const later = all.filter(
    ({ device, claimed: other }) =>
      device === change.device && (other === claimed || (other > claimed && isAhead(change))),
  );
  const sent = Math.min(...later.map(({ arrived = [0, 0] }) => arrived[0]));
  const answered = Math.min(...later.map(({ arrived = [0, 0] }) => arrived[1]));
  return [Math.min(claimed, sent), isAhead(change) ? Math.min(claimed, answered) : claimed];
}

/** Returns whether a change may have arrived before the time it claims. */
const isAhead = ({ claimed, arrived = [0, 0] }: Made) => claimed > arrived[0];

/** Asserts that the current value is one of the changes made, and that no change certainly newer was lost to it. */
export function assertNewestStands(changes: readonly Made[], standing: unknown): void {
  const dated = changes.map((change) => ({ change, bounds: toBounds(change, changes) }));
  const possible = dated.filter(({ bounds }) => !dated.some((other) => other.bounds[0] > bounds[1]));
  const values = changes.length === 0 ? [undefined] : possible.map(({ change }) => change.value ?? undefined);
  assert.ok(
    values.some((value) => value === standing),
    `${String(standing)} stands, and not one of ${JSON.stringify(possible)}`,
  );
}
