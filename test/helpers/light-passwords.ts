import argon2, { type Options } from 'argon2';

/** What people in tests have for a password unless it matters. */
export const USUAL_PASSWORD = 'the usual password of somebody';
/** The least that argon2 allows: a hundredth of what it takes otherwise. */
const LIGHT: Options = { memoryCost: 1_024, timeCost: 2 };

/*
 * Hashes that password, and no other, with less work: thousands of accounts are made with it, each of which would take as
 * long as ten requests.
 */
const { hash } = argon2;
Object.assign(argon2, {
  hash: (password: string | Buffer, options?: Options) =>
    hash(password, password === USUAL_PASSWORD ? { ...options, ...LIGHT } : options),
});
