import { Type } from '@sinclair/typebox';
import { PageQuery } from '../../platform/http/pagination.js';

/** A date, or a moment with its distance from UTC (RFC 3339): without one it could be of any time zone. */
const MOMENT = '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,6})?)?(Z|[+-]\\d{2}:\\d{2}))?$';
const Moment = (description: string) => Type.Optional(Type.String({ maxLength: 40, pattern: MOMENT, description }));

/** A range of time, as every question about usage takes it. */
export const RangeQuery = {
  from: Moment('First day, or a moment on a quarter hour such as 2026-01-01T00:00:00Z; by default 30 days back.'),
  to: Moment('Last day, included, or the moment to stop before; by default today.'),
  tz: Type.String({ default: 'UTC', maxLength: 64, description: 'Time zone of the days, such as Europe/Berlin.' }),
};

const Name = (maxLength: number) => Type.Optional(Type.String({ minLength: 1, maxLength }));
const Source = Type.Union(['device', 'extension', 'tracker', 'chat', 'api'].map((source) => Type.Literal(source)));

/** What a list of events can be narrowed by. */
export const FilterQuery = {
  provider: Name(50),
  model: Name(200),
  source: Type.Optional(Source),
  device: Type.Optional(Type.String({ format: 'uuid' })),
};

const ONE_GROUP = '(day|week|month|provider|model|source|device)';
const ONE_ADMIN_GROUP = '(day|week|month|provider|model|source|device|user)';
const groupBy = (one: string) =>
  Type.Optional(
    Type.String({
      maxLength: 100,
      pattern: `^${one}(,${one})*$`,
      description: 'Names separated by commas: one of day, week, month, and any of provider, model, source, device.',
    }),
  );

export const SummaryQuerySchema = Type.Object(
  { ...RangeQuery, group_by: groupBy(ONE_GROUP) },
  { additionalProperties: false },
);

export const UsageQuerySchema = Type.Object(
  { ...PageQuery, ...RangeQuery, ...FilterQuery },
  { additionalProperties: false },
);

export const UsageFileQuerySchema = Type.Object({ ...RangeQuery, ...FilterQuery }, { additionalProperties: false });

const User = {
  user_id: Type.Optional(Type.String({ format: 'uuid', description: 'Only this account, with devices.' })),
};

export const AllSummaryQuerySchema = Type.Object(
  { ...RangeQuery, ...User, group_by: groupBy(ONE_ADMIN_GROUP) },
  { additionalProperties: false },
);

export const AllUsageQuerySchema = Type.Object(
  { ...PageQuery, ...RangeQuery, ...FilterQuery, ...User },
  { additionalProperties: false },
);

export const AllUsageFileQuerySchema = Type.Object(
  { ...RangeQuery, ...FilterQuery, ...User },
  { additionalProperties: false },
);
