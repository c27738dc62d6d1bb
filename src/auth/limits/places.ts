import type { Charge, Counters } from './counters.js';

/** A place somebody holds. */
export interface Place {
  /** Gives it back. */
  readonly leave: () => void;
}

/** Places that people hold for as long as they like, counted by all servers together. */
export interface Places {
  /** Takes a place. @returns undefined where all of a party's are taken */
  readonly take: (party: string) => Promise<Place | undefined>;
  /** Says again which are held here, where that is due: what nobody says any more is free after a minute. */
  readonly renew: () => Promise<void>;
}

const SLOT_MS = 30_000;
const WINDOW_SECONDS = (2 * SLOT_MS) / 1_000;
/** Most charges of one call. */
const MOST_AT_ONCE = 500;

interface Held {
  readonly party: string;
  /** The slots in which it was counted and that may still be looked at. */
  slots: readonly number[];
}

/**
 * Creates places. Each is counted anew in every half minute, so that those of a server that was killed are free after the next
 * one. Not all are counted yet in the present half minute, but all are in the one before, to which new ones are added.
 *
 * @param name whose counts these are
 * @param most places of a party
 * @param findNow returns the time in milliseconds; servers have to agree on it by some seconds
 */
export function createPlaces(add: Counters['add'], name: string, most: number, findNow = Date.now): Places {
  const held = new Set<Held>();
  let renewed = Number.NEGATIVE_INFINITY;
  const toSlot = () => Math.floor(findNow() / SLOT_MS);
  const toCharge = (party: string, slot: number, amount: number): Charge => ({
    key: `${name}:${party}:${slot}`,
    windowSeconds: WINDOW_SECONDS,
    amount,
  });

  const leave = (place: Held) => {
    if (!held.delete(place)) return;
    void Promise.resolve(add(place.slots.map((slot) => toCharge(place.party, slot, -1)))).catch(() => {});
  };

  return {
    take: async (party) => {
      const slot = toSlot();
      const place: Held = { party, slots: [slot - 1, slot] };
      held.add(place);
      const counts = await add(place.slots.map((counted) => toCharge(party, counted, 1)));
      const taken = Math.max(...counts.map(({ used }) => used));
      if (taken <= most) return { leave: () => leave(place) };
      leave(place);
      return undefined;
    },
    renew: async () => {
      const slot = toSlot();
      if (slot === renewed) return;
      renewed = slot;
      const due = [...held].filter(({ slots }) => !slots.includes(slot));
      for (const place of due) place.slots = [...place.slots.filter((counted) => counted === slot - 1), slot];
      for (let begin = 0; begin < due.length; begin += MOST_AT_ONCE) {
        await add(due.slice(begin, begin + MOST_AT_ONCE).map(({ party }) => toCharge(party, slot, 1)));
      }
    },
  };
}
