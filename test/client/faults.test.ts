import fc from 'fast-check';
import { type Client, TokenledgerError } from '../../src/client/client.js';
import { brittleStorage, openClient, openNetwork } from '../helpers/client.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const server = await openTestServer(t, { environment: { DEFAULT_DEVICE_TOKENS: '1000' } });
const url = await server.listen();

/** What may happen, one after the other; the numbers choose one of two windows. */
const StepArbitrary = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('log' as const), window: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('flush' as const), window: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), window: fc.nat(1) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('network' as const), is: fc.constantFrom('works', 'is down', 'loses') }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('storage' as const), isBroken: fc.boolean() }) },
);

t.test('whatever fails and whenever, each use that was taken is charged once', async (t) => {
  const locks = { request: <T>(_name: string, work: () => Promise<T>) => work() };
  const property = fc.asyncProperty(fc.array(StepArbitrary, { minLength: 5, maxLength: 20 }), async (steps) => {
    const [storage, network] = [brittleStorage(), openNetwork()];
    const open = (): Client => openClient(t, url, { storage, network, locks });
    const windows = [open(), open()];
    await open().device.register();
    /** Uses that were taken, and those that were refused although they may have been charged: their answer was lost. */
    let [taken, doubtful] = [0, 0];
    for (const step of steps) {
      if (step.do === 'network') network.state = step.is;
      else if (step.do === 'storage') storage.isBroken = step.isBroken;
      else if (step.do === 'restart') windows[step.window] = open();
      else if (step.do === 'flush') await windows[step.window]?.device.flush().catch(() => {});
      else {
        const error = await windows[step.window]?.device.log({ model_type: 'gpt-5' }).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error === undefined) taken += 1;
        else if (error instanceof TokenledgerError && network.state === 'loses') doubtful += 1;
      }
    }
    [storage.isBroken, network.state] = [false, 'works'];
    const left = await open().device.flush();
    const { used } = await open().device.balance();
    return left === 0 && used >= taken && used <= taken + doubtful;
  });
  await fc.assert(property, { numRuns: 15 });
  await server.verifyLedger(t);
});

t.end();
