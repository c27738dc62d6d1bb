import { createRedirectCheck, isRedirectList } from '../../src/config/redirect-uris.js';
import t from '../helpers/run/tap.js';

const isAllowed = createRedirectCheck(
  [
    'https://id.chromiumapp.org/',
    ' https://app.example.com/oauth/callback ',
    'https://below.example.com/signed-in/',
    'https://query.example.com/cb?from=tokens',
    'https://port.example.com:8443/',
    'http://127.0.0.1/callback',
    'http://[::1]/',
    'http://localhost:5173/cb',
    'vscode://publisher.extension/',
    'cursor://publisher.extension/signed-in',
  ].join(','),
);

const GOOD = [
  'https://id.chromiumapp.org/',
  'https://id.chromiumapp.org/google',
  'https://id.chromiumapp.org/a/b',
  'https://id.chromiumapp.org',
  'https://id.chromiumapp.org:443/',
  'HTTPS://ID.ChromiumApp.org/',
  'https://app.example.com/oauth/callback',
  'https://below.example.com/signed-in/',
  'https://below.example.com/signed-in/here',
  'https://query.example.com/cb?from=tokens',
  'https://port.example.com:8443/cb',
  'http://127.0.0.1/callback',
  'http://127.0.0.1:49152/callback',
  'http://[::1]:49152/anything',
  'http://localhost:5173/cb',
  'vscode://publisher.extension/',
  'vscode://publisher.extension/did-authenticate',
  // What `asExternalUri` appends, as it is and as its text is written.
  'vscode://publisher.extension/did-authenticate?windowId=1',
  'vscode://publisher.extension/?windowId%3D12',
  'cursor://publisher.extension/signed-in?windowId=_blank',
];

const BAD = [
  // Other hosts that look like one on the list.
  'https://id.chromiumapp.org.evil.com/',
  'https://evil.com/id.chromiumapp.org/',
  'https://evilid.chromiumapp.org/',
  'https://sub.id.chromiumapp.org/',
  'https://chromiumapp.org/',
  'https://id.chromiumapp.org./',
  'https://xn--d-rmb.chromiumapp.org/',
  'https://ιd.chromiumapp.org/',
  'https://id。chromiumapp.org/',
  // User info, and what parsers take for it.
  'https://id.chromiumapp.org@evil.com/',
  'https://id.chromiumapp.org:443@evil.com/',
  'https://user@id.chromiumapp.org/',
  'https://:pass@id.chromiumapp.org/',
  'https://@id.chromiumapp.org/',
  'https://id.chromiumapp.org\\@evil.com/',
  'https://evil.com\\@id.chromiumapp.org/',
  'https://evil.com#@id.chromiumapp.org/',
  'https://evil.com?@id.chromiumapp.org/',
  'https://id.chromiumapp.org%2f@evil.com/',
  // No address, or one that depends on where it is read.
  '//id.chromiumapp.org/',
  '/oauth/callback',
  'id.chromiumapp.org',
  'https:id.chromiumapp.org/',
  'https:/id.chromiumapp.org/',
  'https:///id.chromiumapp.org/',
  'https:\\\\id.chromiumapp.org\\',
  '',
  ' https://id.chromiumapp.org/',
  'https://id.chromiumapp.org/\n',
  'https://id.chromium\tapp.org/',
  'https://id.chromiumapp.org/\u0000',
  'https://id.chromiumapp.org/ü',
  // Another scheme or port.
  'http://id.chromiumapp.org/',
  'javascript://id.chromiumapp.org/%0aalert(1)',
  'data://id.chromiumapp.org/',
  'https://id.chromiumapp.org:8443/',
  'https://port.example.com/cb',
  'https://port.example.com:8444/cb',
  'https://127.0.0.1/callback',
  'http://localhost:5174/cb',
  'http://localhost/cb',
  'http://127.0.0.2:5000/callback',
  'http://127.0.0.1.evil.com/callback',
  // Another path.
  'https://app.example.com/oauth/callback/',
  'https://app.example.com/oauth/callback/more',
  'https://app.example.com/oauth/callback2',
  'https://app.example.com/OAuth/callback',
  'https://app.example.com/oauth%2fcallback',
  'https://app.example.com/oauth//callback',
  'https://app.example.com/oauth/x/../callback',
  'https://app.example.com/oauth/x/%2e%2e/callback',
  'https://below.example.com/signed-in',
  'https://below.example.com/signed-in-elsewhere',
  'https://below.example.com/signed-in/../elsewhere',
  'https://below.example.com/signed-in/%2e%2e/elsewhere',
  'https://below.example.com/signed-in/%2E%2E%2Felsewhere',
  'https://below.example.com/signed-in/..%2felsewhere',
  'https://below.example.com/signed-in/%252e%252e/elsewhere',
  'https://below.example.com/signed-in/..\\elsewhere',
  'https://below.example.com/signed-in/%5c..%5celsewhere',
  'https://below.example.com//evil.com/signed-in/',
  'https://id.chromiumapp.org//evil.com/',
  'http://127.0.0.1:49152/other',
  // A fragment, or another query.
  'https://id.chromiumapp.org/#',
  'https://id.chromiumapp.org/#fragment',
  'https://app.example.com/oauth/callback#x',
  'https://app.example.com/oauth/callback?x=1',
  'https://id.chromiumapp.org/?next=https://evil.com',
  'https://query.example.com/cb',
  'https://query.example.com/cb?from=tokens&x=1',
  // Another app.
  'vscode://publisher.extension/did-authenticate?windowId=1&code=x',
  'vscode://publisher.extension/did-authenticate?windowId=1;x',
  'vscode://publisher.extension/did-authenticate?code=x',
  'cursor://publisher.extension/elsewhere?windowId=1',
  'https://app.example.com/oauth/callback?windowId=1',
  'https://id.chromiumapp.org/?windowId=1',
  'vscode://publisher.other/',
  'vscode://Publisher.Extension/',
  'vscode-insiders://publisher.extension/',
  'vscode:publisher.extension/',
];

t.test('addresses on the list are allowed', async (t) => {
  for (const address of GOOD) t.equal(isAllowed(address), true, JSON.stringify(address));
});

t.test('addresses that only look like it are not', async (t) => {
  for (const address of BAD) t.equal(isAllowed(address), false, JSON.stringify(address));
});

t.test('without a list nothing is allowed', async (t) => {
  const isAllowedWithout = createRedirectCheck(undefined);
  for (const address of GOOD) t.equal(isAllowedWithout(address), false, address);
});

t.test('an entry that could never match is a mistake in the list', async (t) => {
  t.equal(isRedirectList('https://id.chromiumapp.org/, vscode://publisher.extension/'), true);
  for (const entry of ['*', 'https://*.chromiumapp.org/', 'id.chromiumapp.org', 'https://a.org/#x', 'https://a.org,']) {
    t.equal(isRedirectList(entry), false, entry);
  }
});
