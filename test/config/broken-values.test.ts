import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { parseConfig } from '../../src/config/config.js';
import { EnvironmentSchema } from '../../src/config/environment-schema.js';
import t from '../helpers/run/tap.js';

const OTHERS = { DATABASE_URL: 'postgres://db/d', JWT_SECRET: 'x'.repeat(32) };
const AddressSchema = Type.Object({ pattern: Type.String({ pattern: '://' }) });
const ADDRESSES = Object.entries(EnvironmentSchema.properties).flatMap(([name, property]) =>
  Value.Check(AddressSchema, property) ? [{ name, scheme: /^\^([a-z]+)/.exec(property.pattern)?.[1] ?? '' }] : [],
);

t.test('an address that cannot be parsed is refused by its name, whichever variable it is', async (t) => {
  t.ok(ADDRESSES.length >= 12, 'the variables are found');
  for (const { name, scheme } of ADDRESSES) {
    // The last one is what a password with a # makes of an address.
    for (const rest of ['u:secret-word@host:99999/1', 'u:secret-word@ho^st/1', 'u:secret-word#1@host/1']) {
      t.throws(() => parseConfig({ ...OTHERS, [name]: `${scheme}://${rest}` }), {
        message: new RegExp(`\\b${name} is not`),
      });
      try {
        parseConfig({ ...OTHERS, [name]: `${scheme}://${rest}` });
      } catch (error) {
        t.notMatch(String(error), /secret-word/, 'what it holds is not said');
      }
    }
  }
});

t.test('a key that no header can carry is refused by its name', async (t) => {
  for (const name of ['OPENROUTER_API_KEY', 'SUPABASE_SECRET_KEY', 'SUPABASE_PUBLISHABLE_KEY', 'SENDGRID_API_KEY']) {
    for (const value of ['key\n', 'a key', 'schlüssel']) {
      t.throws(() => parseConfig({ ...OTHERS, [name]: value }), { message: new RegExp(`\\b${name} is not valid`) });
    }
  }
});

t.end();
