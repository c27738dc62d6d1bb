import { Type } from '@sinclair/typebox';

export const Overload = {
  MAX_EVENT_LOOP_DELAY: Type.Integer({
    default: 1_000,
    minimum: 0,
    maximum: 60_000,
    description:
      'Milliseconds by which a process may be behind with its work, on average of a second, before it refuses new requests with 503; 0 for never.',
  }),
};
