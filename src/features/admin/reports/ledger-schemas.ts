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
