import { type Static, Type } from '@sinclair/typebox';
import { SOURCES } from '../../platform/http/one-of.js';
import { PageQuery } from '../../platform/http/pagination.js';
import { TimeRangeQuery } from '../../platform/http/time-range.js';

const Name = (maxLength: number) => Type.Optional(Type.String({ minLength: 1, maxLength }));
const Source = Type.Union(SOURCES.map((source) => Type.Literal(source)));

/** The query parameters that narrow what is listed or summed. */
const FilterQuery = {
  provider: Name(50),
  model: Name(200),
  source: Type.Optional(Source),
  device: Type.Optional(Type.String({ format: 'uuid' })),
};

const GROUP = '(day|week|month|provider|model|source|device)';
const ADMIN_GROUP = '(day|week|month|provider|model|source|device|user)';
const GroupBy = (group: string) =>
  Type.Optional(
    Type.String({
      maxLength: 100,
      pattern: `^${group}(,${group})*$`,
      description: 'Names separated by commas: one of day, week, month, and any of provider, model, source, device.',
    }),
  );

const Top = {
  top: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      description: 'Lists so many groups at most, those with most events; all others are one of these, the last.',
    }),
  ),
};

const STRICT = { additionalProperties: false };

export const SummaryQuerySchema = Type.Object(
  { ...TimeRangeQuery, ...FilterQuery, group_by: GroupBy(GROUP), ...Top },
  STRICT,
);

export const ListQuerySchema = Type.Object({ ...PageQuery, ...TimeRangeQuery, ...FilterQuery }, STRICT);

export const FileQuerySchema = Type.Object({ ...TimeRangeQuery, ...FilterQuery }, STRICT);

const User = {
  user_id: Type.Optional(Type.String({ format: 'uuid', description: 'Only this account, with its devices.' })),
};

export const AdminSummaryQuerySchema = Type.Object(
  { ...TimeRangeQuery, ...FilterQuery, ...User, group_by: GroupBy(ADMIN_GROUP), ...Top },
  STRICT,
);
/** What a summary counts; a person's has no `user_id`. */
export type SummaryQuery = Static<typeof AdminSummaryQuerySchema>;

export const AdminListQuerySchema = Type.Object({ ...PageQuery, ...TimeRangeQuery, ...FilterQuery, ...User }, STRICT);

export const AdminFileQuerySchema = Type.Object({ ...TimeRangeQuery, ...FilterQuery, ...User }, STRICT);
/** Which events a list or a file holds; a person's has no `user_id`. */
export type UsageQuery = Static<typeof AdminFileQuerySchema>;
