import { Type } from '@sinclair/typebox';

/*
 * What several variables of the environment are.
 */

/** Describes a secret of 32 characters at least. */
export const Secret = (description: string) => Type.Optional(Type.String({ minLength: 32, description }));

/** Describes a text that turns something on. */
export const Key = (description: string) => Type.Optional(Type.String({ minLength: 1, description }));

/** Describes a secret that is sent in a header, which takes no white space and nothing but ASCII. */
export const HeaderKey = (description: string) =>
  Type.Optional(Type.String({ pattern: '^[\\x21-\\x7E]+$', description }));

/** Describes price ids, separated by commas. */
export const Price = (description: string) =>
  Type.Optional(Type.String({ pattern: '^[\\w-]{1,100}(, ?[\\w-]{1,100}){0,9}$', description }));

/** Describes an address that has a default. */
export const Address = (address: string, description: string) =>
  Type.String({ default: address, pattern: '^https?://', description });

/** Describes an upper bound. */
export const Most = (most: number, description: string) =>
  Type.Integer({ default: most, minimum: 1, maximum: 1_000_000_000_000_000, description });

/** Describes a limit a minute. */
export const PerMinute = (quota: number, description: string) =>
  Type.Integer({ default: quota, minimum: 1, maximum: 1_000_000_000_000, description });

/** Describes one limit a minute for each tier: free, pro, premium; the last one given holds for those after it. */
export const PerMinuteByTier = (quotas: string, description: string) =>
  Type.String({ default: quotas, pattern: '^[1-9][0-9]{0,11}(, ?[1-9][0-9]{0,11}){0,2}$', description });

/** Describes a duration: a number and s, m, h or d. */
export const Duration = (duration: string, description: string) =>
  Type.String({ default: duration, pattern: '^[1-9][0-9]{0,6}[smhd]$', description });

/** Describes a longer duration. Few seconds without a unit are a mistake: somebody meant days. */
export const Lifetime = (duration: string, description: string) =>
  Type.String({
    default: duration,
    pattern: '^([1-9][0-9]{2,8}|[1-9][0-9]{0,6}s|[1-9][0-9]{0,6}[mhd]|[1-9][0-9]{0,3}w|[1-9][0-9]?y)$',
    description,
  });
