import { useEffect, useState } from 'preact/hooks';
import { ApiFailure } from '../../foundation/api/failure.js';
import { api } from '../../foundation/session/person-session.js';

/** A balance as the stream tells it, in tokens. */
export interface LiveBalance {
  readonly allocated: number;
  readonly used: number;
  readonly reserved: number;
  readonly remaining: number;
}

/** Pauses before the stream is opened again, in milliseconds: the first time at once, and longer each time it fails. */
const PAUSES_MS = [1_000, 2_000, 5_000, 15_000, 60_000];
/** A stream says something every 15 seconds; one that is silent for longer leads nowhere, though nobody has closed it. */
const LONGEST_SILENCE_MS = 40_000;

const isBalance = (value: unknown): value is LiveBalance =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'remaining') === 'number';

/** Reads one event of a stream of server-sent events; anything but a balance is nothing. */
function parseBalanceEvent(text: string): LiveBalance | undefined {
  const lines = text.split('\n');
  if (!lines.includes('event: balance')) return undefined;
  const data = lines.find((line) => line.startsWith('data: '))?.slice('data: '.length) ?? 'null';
  const value: unknown = JSON.parse(data);
  return isBalance(value) ? value : undefined;
}

/** Reads a stream to its end. @param onSign is called with each sign of life */
async function read(body: Response['body'], onSign: () => void, tell: (balance: LiveBalance) => void): Promise<void> {
  if (body === null) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = '';
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    onSign();
    const events = (pending + chunk.value).split('\n\n');
    pending = events.pop() ?? '';
    for (const event of events) {
      const balance = parseBalanceEvent(event);
      if (balance !== undefined) tell(balance);
    }
  }
}

/** Follows a stream until it ends, the signal fires, or it has been silent for too long. */
async function follow(signal: AbortSignal, tell: (balance: LiveBalance) => void): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), LONGEST_SILENCE_MS);
  const onSign = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), LONGEST_SILENCE_MS);
  };
  try {
    const either = AbortSignal.any([signal, silence.signal]);
    const { body } = await api.send('sync/stream', { signal: either, endless: true });
    await read(body, onSign, tell);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for some time, or until the browser has a connection again. */
function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      window.removeEventListener('online', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    window.addEventListener('online', end);
  });
}

/** Follows a stream again and again until the signal fires. */
async function keepFollowing(
  signal: AbortSignal,
  tell: (balance: LiveBalance) => void,
  setLive: (live: boolean) => void,
): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    try {
      await follow(signal, (balance) => {
        failures = 0;
        setLive(true);
        tell(balance);
      });
    } catch (error) {
      if (signal.aborted || (error instanceof ApiFailure && error.code === 'SESSION_ENDED')) return;
    }
    setLive(false);
    failures += 1;
    await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length) - 1] ?? 0);
  }
}

/**
 * Follows the balance while it is shown: undefined until the stream has told it, and whether it is told just now.
 *
 * @param round the stream is opened anew with each
 * @param loaded what was loaded otherwise: it is newer than what a stream told that broke off
 */
export function useLiveBalance(
  round: number,
  loaded: unknown,
): { readonly balance: LiveBalance | undefined; readonly live: boolean } {
  const [balance, setBalance] = useState<LiveBalance | undefined>();
  const [live, setLive] = useState(false);
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const ifShown =
      <Value>(set: (value: Value) => void) =>
      (value: Value) => {
        if (!signal.aborted) set(value);
      };
    void keepFollowing(signal, ifShown(setBalance), ifShown(setLive));
    return () => controller.abort();
  }, [round]);
  useEffect(() => {
    if (!live) setBalance(undefined);
  }, [loaded]);
  return { balance, live };
}
