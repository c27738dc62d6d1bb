import dns, { type LookupAddress } from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import { isPublicAddress, lookupPublic, parseWebhookUrl } from '../../../src/features/webhooks/addresses.js';
import { createWebhookSender } from '../../../src/features/webhooks/send.js';
import { openWebhookReceiver } from '../../helpers/fakes/webhook-receiver.js';
import t from '../../helpers/run/tap.js';

const PRIVATE = [
  '127.0.0.1',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.1',
  '192.168.1.1',
  '169.254.169.254',
  '100.64.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '198.18.0.1',
  '192.0.2.1',
  '::',
  '::1',
  'fe80::1',
  'fc00::1',
  'fec0::1',
  'ff02::1',
  '::ffff:127.0.0.1',
  '::ffff:10.0.0.1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '2001::1',
  '2001:db8::1',
  'nonsense',
];

t.test('only addresses of the public internet are reached', async (t) => {
  for (const address of PRIVATE) t.notOk(isPublicAddress(address), address);
  for (const address of ['1.1.1.1', '93.184.216.34', '2606:4700:4700::1111', '::ffff:1.1.1.1']) {
    t.ok(isPublicAddress(address), address);
  }
});

t.test('what a URL may be', async (t) => {
  const refused = [
    'not a url',
    'ftp://example.com/',
    'http://example.com/',
    'https://user:password@example.com/',
    'https://localhost/',
    'https://api.localhost./',
    'https://127.1/',
    'https://0x7f000001/',
    'https://2130706433/',
    'https://[::1]/',
    'https://[::ffff:169.254.169.254]/',
    'https://[::127.0.0.1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://0/',
    'https://0177.0.0.1/',
    'https://127.0.0.1./',
    'https://１２７.0.0.1/',
    'https://%31%32%37.0.0.1/',
    'file:///etc/passwd',
  ];
  for (const url of refused) t.throws(() => parseWebhookUrl(url, false), { code: 'WEBHOOK_URL_NOT_ALLOWED' }, url);
  t.equal(parseWebhookUrl('https://Example.com:8443/hook?a=1#part', false), 'https://example.com:8443/hook?a=1');
  t.equal(parseWebhookUrl('http://127.0.0.1:3000/hook', true), 'http://127.0.0.1:3000/hook');
  t.throws(() => parseWebhookUrl('ftp://127.0.0.1/', true));
});

t.test('a name of this machine is resolved, checked and refused', async (t) => {
  const found = await new Promise<unknown>((resolve) => {
    lookupPublic('localhost', { all: true }, (error, address: string | LookupAddress[]) => resolve(error ?? address));
  });
  t.match(found, { code: 'ADDRESS_NOT_ALLOWED' });
});

t.test('what a name means is asked for each connection, and one private address is enough to refuse it', async (t) => {
  const { lookup } = dns;
  let addresses: readonly LookupAddress[] = [];
  const resolver = {
    lookup: (_name: string, _options: object, answer: (...found: unknown[]) => void) => answer(null, addresses),
  };
  Object.assign(dns, resolver);
  syncBuiltinESMExports();
  t.after(() => {
    Object.assign(dns, { lookup });
    syncBuiltinESMExports();
  });
  const look = (all: boolean) =>
    new Promise<unknown>((resolve) => {
      lookupPublic('rebinding.example', { all }, (error, found: string | LookupAddress[]) => resolve(error ?? found));
    });
  const open = { address: '1.1.1.1', family: 4 };
  addresses = [open];
  t.equal(await look(false), '1.1.1.1');
  t.strictSame(await look(true), [open]);
  for (const address of PRIVATE) {
    for (const answers of [[{ address, family: 4 }], [open, { address, family: 6 }]]) {
      addresses = answers;
      for (const all of [true, false]) t.match(await look(all), { code: 'ADDRESS_NOT_ALLOWED' }, address);
    }
  }
});

t.test('a private address is not connected to, by name or by number', async (t) => {
  const receiver = await openWebhookReceiver(t);
  const sender = createWebhookSender(false);
  t.after(sender.close);
  const secure = receiver.url.replace('http:', 'https:');
  // The last one was made while plain HTTP was allowed.
  for (const url of [secure, secure.replace('127.0.0.1', 'localhost'), receiver.url, 'http://example.invalid/']) {
    const attempt = await sender.send(url, {}, '{}', new AbortController().signal);
    t.match(attempt, { outcome: 'failed', failure: 'ADDRESS_NOT_ALLOWED' }, url);
  }
  t.equal(receiver.received.length, 0);
});

t.end();
