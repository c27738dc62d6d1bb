-- Months that are over, packed: a row holds all events or rollups of one kind that a subject has in a month, as arrays, so
-- that what they have in common is stored once. What is the same in all is one element, what is 0 or follows from the rest is
-- null. Nothing here is ever changed: what is to change is thawed into the tables it came from, and packed again later.

create table if not exists private.archived_events (
  subject_id uuid not null,
  since timestamptz not null,
  part integer not null,
  user_id uuid,
  device_id uuid,
  source text not null,
  provider text not null,
  model text not null,
  provenance text not null,
  period integer not null,
  prompt_count integer not null,
  events integer not null check (events > 0),
  days integer not null,
  ids uuid[] not null,
  occurred timestamptz[] not null,
  created timestamptz[],
  input_tokens bigint[],
  output_tokens bigint[],
  total_tokens bigint[],
  costs bigint[],
  nano_usd bigint[],
  urls text[],
  primary key (subject_id, since, part)
);
-- A month is written at once, so that its rows lie together.
create index if not exists archived_events_since_idx on private.archived_events using brin (since);
create index if not exists archived_events_linked_idx on private.archived_events (user_id, since)
  where user_id is not null and user_id is distinct from subject_id;
comment on table private.archived_events is 'Usage events of months that were archived, packed; the view every_event has them as rows.';
comment on column private.archived_events.subject_id is 'The device or user whose balance the events count against.';
comment on column private.archived_events.since is 'Start of the month (UTC) they are of, or of the day where the subject has many.';
comment on column private.archived_events.part is 'Counts the rows of a subject and month or day.';
comment on column private.archived_events.user_id is 'The account behind them, if known.';
comment on column private.archived_events.device_id is 'The device behind them, if any.';
comment on column private.archived_events.source is 'Which API recorded them.';
comment on column private.archived_events.provider is 'The AI provider.';
comment on column private.archived_events.model is 'The model.';
comment on column private.archived_events.provenance is 'client_reported, provider_final or estimated.';
comment on column private.archived_events.period is 'The subject''s budget period at the time.';
comment on column private.archived_events.prompt_count is 'Prompts each of them stands for.';
comment on column private.archived_events.events is 'Number of events.';
comment on column private.archived_events.days is 'The days of the month they happened on: bit 0 is the first.';
comment on column private.archived_events.ids is 'Their ids.';
comment on column private.archived_events.occurred is 'When each happened.';
comment on column private.archived_events.created is 'When each was recorded; null where that was when it happened.';
comment on column private.archived_events.input_tokens is 'Tokens sent by each; one for all where they are the same, null for 0.';
comment on column private.archived_events.output_tokens is 'Tokens received by each; one for all where they are the same, null for 0.';
comment on column private.archived_events.total_tokens is 'Tokens of each altogether; null where that is the sum of those sent and received.';
comment on column private.archived_events.costs is 'What each debited; one for all where it is the same, null for 0.';
comment on column private.archived_events.nano_usd is 'What upstream charges for each; one for all where it is the same, null where that is not known of any.';
comment on column private.archived_events.urls is 'The page each happened on; one for all where it is the same, null where that is not known of any.';

create table if not exists private.archived_rollups (
  subject_id uuid not null,
  month timestamptz not null,
  part integer not null,
  provider text not null,
  model text not null,
  source text not null,
  rollups integer not null check (rollups > 0),
  quarters smallint[] not null,
  events bigint[],
  prompts bigint[],
  input_tokens bigint[],
  output_tokens bigint[],
  total_tokens bigint[],
  costs bigint[],
  nano_usd bigint[],
  primary key (subject_id, month, part)
);
create index if not exists archived_rollups_month_idx on private.archived_rollups using brin (month);
comment on table private.archived_rollups is 'Rollups of months that were archived, packed; the view every_rollup has them as rows.';
comment on column private.archived_rollups.subject_id is 'The device or user.';
comment on column private.archived_rollups.month is 'The month''s start (UTC).';
comment on column private.archived_rollups.part is 'Counts the rows of a subject and month.';
comment on column private.archived_rollups.provider is 'The AI provider.';
comment on column private.archived_rollups.model is 'The model.';
comment on column private.archived_rollups.source is 'Which API recorded the events.';
comment on column private.archived_rollups.rollups is 'Number of rollups.';
comment on column private.archived_rollups.quarters is 'The quarter hour of each, 0 the first of the month (UTC).';
comment on column private.archived_rollups.events is 'Events of each; one for all where they are the same, null for 1.';
comment on column private.archived_rollups.prompts is 'Prompts of each; one for all where they are the same, null where there are as many as events.';
comment on column private.archived_rollups.input_tokens is 'Tokens sent; one for all where they are the same, null for 0.';
comment on column private.archived_rollups.output_tokens is 'Tokens received; one for all where they are the same, null for 0.';
comment on column private.archived_rollups.total_tokens is 'Tokens altogether; null where that is the sum of those sent and received.';
comment on column private.archived_rollups.costs is 'What was debited; one for all where it is the same, null for 0.';
comment on column private.archived_rollups.nano_usd is 'What upstream charges; one for all where it is the same, null for 0.';

-- One row a month at most, so that whether anything is archived costs next to nothing to find out.
create table if not exists private.archived_months (
  month timestamptz primary key,
  archived_at timestamptz not null default now(),
  events bigint not null check (events >= 0),
  rollups bigint not null check (rollups >= 0)
);
comment on table private.archived_months is 'Months that were archived. What changed in one since lies in usage_events and usage_rollups until it is packed again.';
comment on column private.archived_months.month is 'The month''s start (UTC).';
comment on column private.archived_months.archived_at is 'When it was last packed.';
comment on column private.archived_months.events is 'Events that were packed then, or before.';
comment on column private.archived_months.rollups is 'Rollups that were packed then, or before.';
