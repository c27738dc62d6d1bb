import t from 'tap';
import { DUMMY_HASH, hashNewPassword, hashPassword, verifyPassword } from '../../src/auth/passwords.js';

/** The cost of a PHC string: its algorithm, version and parameters, and the lengths of its salt and hash. */
function readCost(phc: string) {
  const [, algorithm, version, parameters, salt, hash] = phc.split('$');
  return { algorithm, version, parameters, saltLength: salt?.length, hashLength: hash?.length };
}

t.test('verifying costs the same for an unknown account as for one with a password hashed today', async (t) => {
  const cost = readCost(await hashPassword('correct horse battery staple'));
  t.match(cost, { algorithm: 'argon2id', parameters: 'm=19456,t=2,p=1' });
  t.strictSame(readCost(DUMMY_HASH), cost);
});

t.test('a password matches its own hash only, and no password matches an unknown account', async (t) => {
  const password = 'correct horse battery staple';
  const hash = await hashPassword(password);
  t.equal(await verifyPassword(hash, password), true);
  t.equal(await verifyPassword(hash, `${password} `), false);
  t.equal(await verifyPassword(null, password), false);
});

t.test('a password everybody tries first is refused, in any case, also by the first requests at once', async (t) => {
  await Promise.all(
    ['password1', 'PassWord1', 'qwertyuiop'].map((password) =>
      t.rejects(hashNewPassword(password), { code: 'PASSWORD_TOO_COMMON' }),
    ),
  );
  t.match(await hashNewPassword('correct horse battery staple'), /^\$argon2id\$/);
});

t.end();
