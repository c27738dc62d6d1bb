import { Type } from '@sinclair/typebox';

const DiscrepancySchema = Type.Object({
  subject: Type.Union([Type.String(), Type.Null()]),
  stated: Type.Unknown(),
  proven: Type.Unknown(),
});

export const VerifiedLedgerSchema = Type.Object({
  ok: Type.Boolean(),
  checks: Type.Array(
    Type.Object({
      name: Type.String(),
      ok: Type.Boolean(),
      checked: Type.Integer(),
      discrepancies: Type.Array(DiscrepancySchema),
    }),
  ),
});

const NullableText = Type.Union([Type.String(), Type.Null()]);

const SealedMonthSchema = Type.Object({
  month: Type.String({ description: 'YYYY-MM (UTC)' }),
  sealed: Type.Boolean({ description: 'Whether the month is over, was proved and may be trusted.' }),
  events: Type.Integer(),
  rollups: Type.Integer(),
  checksum: Type.Union([Type.String(), Type.Null()], {
    description:
      'Sum of the hashes of all its events and rollups. Keep it elsewhere to see that no seal was written anew.',
  }),
  sealed_at: NullableText,
  proved_at: NullableText,
  retired_at: Type.Union([Type.String(), Type.Null()], {
    description: 'Since when it has rollups only, as its events are not kept any longer.',
  }),
  fault: Type.Union([Type.Array(DiscrepancySchema), Type.Null()]),
});
export const SealedMonthListSchema = Type.Array(SealedMonthSchema);
export const SealedMonthsSchema = Type.Object({ months: SealedMonthListSchema });

export const MonthParamsSchema = Type.Object({ month: Type.String({ pattern: '^[0-9]{4}-(0[1-9]|1[0-2])$' }) });

export const VerifiedMonthSchema = Type.Object({
  month: Type.String(),
  ok: Type.Boolean(),
  checked: Type.Integer(),
  discrepancies: Type.Array(DiscrepancySchema),
});
