import { randomBytes } from 'node:crypto';
import argon2 from 'argon2';
import { createPasswords, DUMMY_HASH, hashPassword } from '../../src/auth/passwords.js';
import t from '../helpers/run/tap.js';

const PASSWORD = 'correct horse battery staple';
const plain = await createPasswords({ peppers: [] });
const createPepper = () => randomBytes(32).toString('base64url');

/** The cost of a PHC string: its algorithm, version and parameters, and the lengths of its salt and hash. */
function readCost(phc: string) {
  const [, algorithm, version, parameters, salt, hash] = phc.split('$');
  return { algorithm, version, parameters, saltLength: salt?.length, hashLength: hash?.length };
}

t.test('verifying costs the same for an unknown account as for one with a password hashed today', async (t) => {
  const cost = readCost(await hashPassword(PASSWORD));
  t.match(cost, { algorithm: 'argon2id', parameters: 'm=19456,t=2,p=1' });
  t.strictSame(readCost(DUMMY_HASH), cost);
});

t.test('a password matches its own hash only, and no password matches an unknown account', async (t) => {
  const hash = await plain.hashNew(PASSWORD, []);
  t.equal(await plain.verify(hash, PASSWORD), true);
  t.equal(await plain.verify(hash, `${PASSWORD} `), false);
  t.equal(await plain.verify(null, PASSWORD), false);
});

t.test('a password everybody tries first is refused, in any case, also by the first requests at once', async (t) => {
  await Promise.all(
    ['password1', 'PassWord1', 'qwertyuiop', '\uff50assword1'].map((password) =>
      t.rejects(plain.hashNew(password, []), { code: 'PASSWORD_TOO_COMMON' }),
    ),
  );
  t.match(await plain.hashNew(PASSWORD, []), /^\$argon2id\$/);
});

t.test('the same characters typed in another way are the same password', async (t) => {
  const composed = 'pa\u00dfw\u00f6rter \u212b';
  const hash = await plain.hashNew(composed, []);
  t.ok(await plain.verify(hash, composed.normalize('NFD')));
  t.ok(await plain.verify(await plain.hashNew('\ufb01nal \uff11\uff12\uff13 words', []), 'final 123 words'));
  // Hashes made before passwords were normalized.
  const raw = await argon2.hash(composed.normalize('NFD'), { type: argon2.argon2id });
  t.ok(await plain.verify(raw, composed.normalize('NFD')));
  await t.rejects(
    plain.hashNew('e\u0301'.repeat(4), []),
    { code: 'VALIDATION_FAILED' },
    'four characters are not eight',
  );
});

t.test('nobody takes their own address or name, whatever is put around it', async (t) => {
  const own = ['Ada.Lovelace@example.com', 'Ada King'];
  for (const password of [
    'ada.lovelace@example.com',
    'ADA.LOVELACE@EXAMPLE.COM!',
    'ada.lovelace',
    'AdaLovelace1815',
    '12-Ada-King-12',
  ]) {
    await t.rejects(plain.hashNew(password, own), { code: 'PASSWORD_PERSONAL' }, password);
  }
  await t.resolves(plain.hashNew('ada lovelace wrote programs', own));
  await t.resolves(plain.hashNew('ab 9402 1187 33', ['ab@example.com', '']), 'two letters say nothing');
});

t.test('a pepper is needed to verify, and an earlier one verifies what was made with it', async (t) => {
  const [first, second] = [createPepper(), createPepper()];
  const before = await plain.hashNew(PASSWORD, []);
  const one = await createPasswords({ peppers: [first] });
  const hash = await one.hashNew(PASSWORD, []);
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1,keyid=[0-9a-f]{8}\$/);
  t.notMatch(hash, first);
  t.ok(await one.verify(hash, PASSWORD));
  t.notOk(await one.verify(hash, 'another long password'));
  t.ok(await one.verify(before, PASSWORD), 'hashes from before there was one');
  t.notOk(await plain.verify(hash, PASSWORD), 'the hash alone does not do');

  const rotated = await createPasswords({ peppers: [second, first] });
  t.ok(await rotated.verify(hash, PASSWORD));
  t.notOk(await (await createPasswords({ peppers: [second] })).verify(hash, PASSWORD));
  t.strictSame(
    [before, hash, await rotated.hash(PASSWORD)].map((known) => rotated.isOutdated(known)),
    [true, true, false],
  );
  t.equal(plain.isOutdated(before), false);
});

t.end();
