-- Events and rollups wherever they lie. `since` is there so that months can be left out: whoever asks for a range of months
-- says so of the time and of `since`. Citus reads the views of both whole all the same, so functions unite usage_events with
-- unpack_events instead, and usage_rollups with unpack_rollups.

create or replace view private.unpacked_events with (security_invoker = true) as
  select u.id, a.subject_id, a.user_id, a.device_id, a.source, a.provider, a.model, a.prompt_count,
         coalesce(u.input, a.input_tokens[1], 0) as input_tokens, coalesce(u.output, a.output_tokens[1], 0) as output_tokens,
         coalesce(
           u.total, a.total_tokens[1], coalesce(u.input, a.input_tokens[1], 0) + coalesce(u.output, a.output_tokens[1], 0)
         ) as total_tokens,
         coalesce(u.cost, a.costs[1], 0) as cost, a.provenance, a.period,
         case when cardinality(a.urls) = 1 then a.urls[1] else u.url end as url, u.occurred as occurred_at,
         coalesce(u.created, u.occurred) as created_at,
         case when cardinality(a.nano_usd) = 1 then a.nano_usd[1] else u.nano_usd end as nano_usd, a.since, a.days
    from private.archived_events a
   cross join lateral unnest(
     a.ids, a.occurred, a.created, a.input_tokens, a.output_tokens, a.total_tokens, a.costs, a.nano_usd, a.urls
   ) as u(id, occurred, created, input, output, total, cost, nano_usd, url);
comment on view private.unpacked_events is 'Archived usage events as rows.';
comment on column private.unpacked_events.id is 'The event''s id.';
comment on column private.unpacked_events.subject_id is 'The device or user whose balance the event counts against.';
comment on column private.unpacked_events.user_id is 'The account behind it, if known.';
comment on column private.unpacked_events.device_id is 'The device behind it, if any.';
comment on column private.unpacked_events.source is 'Which API recorded it: device, extension, tracker, chat or api.';
comment on column private.unpacked_events.provider is 'The AI provider, unknown where the caller names none.';
comment on column private.unpacked_events.model is 'The model, trimmed and in lower case.';
comment on column private.unpacked_events.prompt_count is 'Prompts the event stands for.';
comment on column private.unpacked_events.input_tokens is 'Language-model tokens sent, 0 where not reported.';
comment on column private.unpacked_events.output_tokens is 'Language-model tokens received, 0 where not reported.';
comment on column private.unpacked_events.total_tokens is 'Language-model tokens altogether.';
comment on column private.unpacked_events.cost is 'What the event debited from the balance.';
comment on column private.unpacked_events.provenance is 'client_reported, provider_final or estimated.';
comment on column private.unpacked_events.period is 'The subject''s budget period at the time.';
comment on column private.unpacked_events.url is 'The page it happened on, without query and fragment.';
comment on column private.unpacked_events.occurred_at is 'When the use happened.';
comment on column private.unpacked_events.created_at is 'When the event was recorded.';
comment on column private.unpacked_events.nano_usd is 'What upstream charges for it, in nano-dollars (10^-9 US dollars); null where that is not known.';
comment on column private.unpacked_events.since is 'Start of the month or day they are packed by.';
comment on column private.unpacked_events.days is 'The days of the month that those packed with it happened on.';

create or replace view private.every_event with (security_invoker = true) as
  select e.id, e.subject_id, e.user_id, e.device_id, e.source, e.provider, e.model, e.prompt_count, e.input_tokens,
         e.output_tokens, e.total_tokens, e.cost, e.provenance, e.period, e.url, e.occurred_at, e.created_at, e.nano_usd,
         e.occurred_at as since
    from public.usage_events e
  union all
  select u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
         u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at, u.nano_usd,
         u.since
    from private.unpacked_events u;
comment on view private.every_event is 'Usage events, archived or not.';
comment on column private.every_event.id is 'The event''s id.';
comment on column private.every_event.subject_id is 'The device or user whose balance the event counts against.';
comment on column private.every_event.user_id is 'The account behind it, if known.';
comment on column private.every_event.device_id is 'The device behind it, if any.';
comment on column private.every_event.source is 'Which API recorded it: device, extension, tracker, chat or api.';
comment on column private.every_event.provider is 'The AI provider, unknown where the caller names none.';
comment on column private.every_event.model is 'The model, trimmed and in lower case.';
comment on column private.every_event.prompt_count is 'Prompts the event stands for.';
comment on column private.every_event.input_tokens is 'Language-model tokens sent, 0 where not reported.';
comment on column private.every_event.output_tokens is 'Language-model tokens received, 0 where not reported.';
comment on column private.every_event.total_tokens is 'Language-model tokens altogether.';
comment on column private.every_event.cost is 'What the event debited from the balance.';
comment on column private.every_event.provenance is 'client_reported, provider_final or estimated.';
comment on column private.every_event.period is 'The subject''s budget period at the time.';
comment on column private.every_event.url is 'The page it happened on, without query and fragment.';
comment on column private.every_event.occurred_at is 'When the use happened.';
comment on column private.every_event.created_at is 'When the event was recorded.';
comment on column private.every_event.nano_usd is 'What upstream charges for it, in nano-dollars (10^-9 US dollars); null where that is not known.';
comment on column private.every_event.since is 'When it happened, or the start of the month or day it is packed by.';

create or replace view private.unpacked_rollups with (security_invoker = true) as
  select a.subject_id, a.month + u.quarter * interval '15 minutes' as bucket, a.provider, a.model, a.source,
         coalesce(u.events, a.events[1], 1) as events,
         coalesce(u.prompts, a.prompts[1], u.events, a.events[1], 1) as prompts,
         coalesce(u.input, a.input_tokens[1], 0) as input_tokens, coalesce(u.output, a.output_tokens[1], 0) as output_tokens,
         coalesce(
           u.total, a.total_tokens[1], coalesce(u.input, a.input_tokens[1], 0) + coalesce(u.output, a.output_tokens[1], 0)
         ) as total_tokens,
         coalesce(u.cost, a.costs[1], 0) as cost, coalesce(u.nano_usd, a.nano_usd[1], 0) as nano_usd, a.month
    from private.archived_rollups a
   cross join lateral unnest(
     a.quarters, a.events, a.prompts, a.input_tokens, a.output_tokens, a.total_tokens, a.costs, a.nano_usd
   ) as u(quarter, events, prompts, input, output, total, cost, nano_usd);
comment on view private.unpacked_rollups is 'Archived rollups as rows.';
comment on column private.unpacked_rollups.subject_id is 'The device or user.';
comment on column private.unpacked_rollups.bucket is 'Start of the quarter hour (UTC).';
comment on column private.unpacked_rollups.provider is 'The AI provider.';
comment on column private.unpacked_rollups.model is 'The model.';
comment on column private.unpacked_rollups.source is 'Which API recorded the events.';
comment on column private.unpacked_rollups.events is 'Number of events.';
comment on column private.unpacked_rollups.prompts is 'Sum of their prompts.';
comment on column private.unpacked_rollups.input_tokens is 'Sum of their input tokens.';
comment on column private.unpacked_rollups.output_tokens is 'Sum of their output tokens.';
comment on column private.unpacked_rollups.total_tokens is 'Sum of their tokens.';
comment on column private.unpacked_rollups.cost is 'Sum of what they debited.';
comment on column private.unpacked_rollups.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';
comment on column private.unpacked_rollups.month is 'Start of the month they are packed by.';

create or replace view private.every_rollup with (security_invoker = true) as
  select r.subject_id, r.bucket, r.provider, r.model, r.source, r.events, r.prompts, r.input_tokens, r.output_tokens,
         r.total_tokens, r.cost, r.nano_usd, r.bucket as since
    from public.usage_rollups r
  union all
  select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
         u.total_tokens, u.cost, u.nano_usd, u.month
    from private.unpacked_rollups u;
comment on view private.every_rollup is 'Rollups, archived or not.';
comment on column private.every_rollup.subject_id is 'The device or user.';
comment on column private.every_rollup.bucket is 'Start of the quarter hour (UTC).';
comment on column private.every_rollup.provider is 'The AI provider.';
comment on column private.every_rollup.model is 'The model.';
comment on column private.every_rollup.source is 'Which API recorded the events.';
comment on column private.every_rollup.events is 'Number of events.';
comment on column private.every_rollup.prompts is 'Sum of their prompts.';
comment on column private.every_rollup.input_tokens is 'Sum of their input tokens.';
comment on column private.every_rollup.output_tokens is 'Sum of their output tokens.';
comment on column private.every_rollup.total_tokens is 'Sum of their tokens.';
comment on column private.every_rollup.cost is 'Sum of what they debited.';
comment on column private.every_rollup.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';
comment on column private.every_rollup.since is 'Its bucket, or the start of the month it is packed by.';
