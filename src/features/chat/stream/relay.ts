import type { StopReason, StreamEnd } from '../codec.js';
import type { UsageReport } from '../metering/chat-meter.js';
import { ZERO_USAGE } from '../metering/settlement.js';
import type { Relay } from './answer.js';
import { readStream, toStreamError } from './read-stream.js';

/** Returns what to settle. A stream that brought nothing is free where upstream itself ended it. */
async function reportUsage({ usage, extender, lost }: Relay, isBroken: boolean): Promise<UsageReport> {
  if (usage.isBillable()) return usage.report(extender.heldTokens());
  return isBroken ? lost : ZERO_USAGE;
}

/** Settles a stream. @returns the events that end it for the client */
async function settle(relay: Relay, end: Omit<StreamEnd, 'settlement'>): Promise<string> {
  const { codec, hold, log } = relay;
  try {
    return codec.finalEvents({ ...end, settlement: await relay.settle(hold.id, end.report) });
  } catch (error) {
    log.error({ err: error }, 'a stream is not settled yet');
    const stopReason: StopReason = { kind: 'fault', error: toStreamError(error) };
    return codec.finalEvents({ stopReason, report: end.report, settlement: undefined, lastEvent: '' });
  }
}

/**
 * Passes a stream on, event by event as the client takes them, and settles its hold. However it ends, it is settled with
 * upstream's own count or with an estimate of what came. A stream that brought nothing is not billed, unless it broke off:
 * then upstream may bill it, and its whole hold is what it cost.
 */
export async function relayStream(relay: Relay): Promise<void> {
  const { client, extender, log } = relay;
  const { stopReason, lastEvent, isBroken } = await readStream(relay);
  extender.stop();
  // A client that has left has it broken off, or lets it: that is no trouble of upstream's.
  if (stopReason?.kind === 'fault' && !(isBroken && client.isGone())) {
    const { code, cause, extras } = stopReason.error;
    log.warn({ err: cause ?? stopReason.error, code, reason: extras['reason'] }, 'a stream did not end well');
  }
  const report = await reportUsage(relay, isBroken);
  await client.end(await settle(relay, { stopReason, report, lastEvent }));
}
