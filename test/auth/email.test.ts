import { normalizeEmail, parseEmail } from '../../src/auth/email.js';
import t from '../helpers/run/tap.js';

const NAMES: Readonly<Record<string, string>> = {
  'case and blanks': '  Ada@Example.COM\n',
  'full-width letters': 'ａｄａ@ｅｘａｍｐｌｅ.com',
  'an ideographic full stop': 'ada@example。com',
};

t.test('an address has one spelling, however it is typed', async (t) => {
  for (const [what, typed] of Object.entries(NAMES)) t.equal(parseEmail(typed), 'ada@example.com', what);
  t.equal(parseEmail('Zoe\u0308@example.com'), 'zo\u00eb@example.com', 'composed');
  t.equal(parseEmail('\ufb01ona@example.com'), 'fiona@example.com', 'a ligature');
});

t.test('a domain is the same in Unicode and in ASCII', async (t) => {
  for (const [unicode, ascii] of [
    ['münchen.de', 'xn--mnchen-3ya.de'],
    ['пример.рф', 'XN--E1AFMKFD.xn--p1ai'],
    ['straße.de', 'xn--strae-oqa.de'],
    ['例子.广告', 'xn--fsqu00a.xn--4rr70v'],
  ]) {
    t.equal(parseEmail(`ada@${unicode}`), `ada@${unicode}`);
    t.equal(parseEmail(`ada@${ascii}`), `ada@${unicode}`);
    t.equal(
      parseEmail(`ada@${unicode?.toUpperCase().normalize('NFD')}`)?.replace('strasse', 'straße'),
      `ada@${unicode}`,
    );
  }
});

t.test('addresses people have are accepted', async (t) => {
  for (const email of [
    "o'neill+tag@example.com",
    'a.b-c_d@sub.example.co.uk',
    'x@localhost',
    '1@2.example',
    'юлия@пример.рф',
    '用户@例子.广告',
    `${'a'.repeat(64)}@example.com`,
  ]) {
    t.equal(parseEmail(email), email);
  }
});

t.test('what nobody sees is refused by what it is, wherever it stands', async (t) => {
  const invisible = [
    0x0000, 0x0007, 0x007f, 0x00ad, 0x034f, 0x061c, 0x115f, 0x1160, 0x17b4, 0x180b, 0x180e, 0x200b, 0x200d, 0x200e,
    0x202e, 0x2028, 0x2060, 0x206f, 0x2800, 0x3164, 0xd800, 0xe000, 0xfe0f, 0xfeff, 0xffa0, 0xfffe, 0x1d173, 0xe0001,
    0xe0100,
  ];
  for (const code of invisible) {
    const character = String.fromCodePoint(code);
    const name = `U+${code.toString(16)}`;
    t.equal(parseEmail(`a${character}da@example.com`), undefined, `${name} in the name`);
    t.equal(parseEmail(`ada@exam${character}ple.com`), undefined, `${name} in the domain`);
  }
  t.equal(parseEmail('ada@xn--ab-10y.com'), undefined, 'and behind Punycode');
});

t.test('what is no address is refused', async (t) => {
  for (const email of [
    '',
    'ada',
    '@example.com',
    'ada@',
    'a@b@c',
    'a b@example.com',
    '<ada@example.com>',
    'ada@example.com>',
    'Ada <ada@example.com>',
    '"ada"@example.com',
    'ada,bob@example.com',
    'ada;x@example.com',
    'ada(comment)@example.com',
    'ada:x@example.com',
    'ada\\@example.com',
    '.ada@example.com',
    'ada.@example.com',
    'a..da@example.com',
    'ada@example.com.',
    'ada@example..com',
    'ada@.example.com',
    'ada@-example.com',
    'ada@example-.com',
    'ada@exa_mple.com',
    'ada@exa%6dple.com',
    'ada@example.com/path',
    'ada@example.com:25',
    'ada@exam\u2100ple.com',
    'ada@[127.0.0.1]',
    'ada@127.0.0.1',
    'ada@127.1',
    'ada@0x7f.1',
    'ada@[::1]',
    'ada@xn--',
    'ada@xn--a.com',
    'a\uff20b@example.com',
    `ada@${'a'.repeat(64)}.com`,
    `${'a'.repeat(310)}@example.com`,
    `${'İ'.repeat(300)}@example.com`,
  ]) {
    t.equal(parseEmail(email), undefined, email);
  }
  t.throws(() => normalizeEmail('<ada@example.com>'), { code: 'VALIDATION_FAILED' });
});

t.test('one spelling stays what it is', async (t) => {
  for (let code = 0; code < 0x3_0000; code += 1) {
    const character = String.fromCodePoint(code);
    const once = parseEmail(`a${character}b@example.com`);
    if (once !== undefined && parseEmail(once) !== once) t.fail(`U+${code.toString(16)} changes again`);
  }
});

t.end();
