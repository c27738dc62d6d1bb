import { Type } from '@sinclair/typebox';

export const Archive = {
  ARCHIVE_MONTHS: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1200,
      description:
        'Full months, besides the current one, whose usage stays as it is: older ones are packed. Without it none are, unless the database has Citus. See docs/operations.md.',
    }),
  ),
};
