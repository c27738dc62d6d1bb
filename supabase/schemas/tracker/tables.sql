-- Prompts and tokens of an account that were used elsewhere, observed and counted, never debited.

create table if not exists public.tracker_counters (
  user_id uuid primary key references public.users (id) on delete cascade,
  prompts bigint not null default 0 check (prompts between 0 and 9007199254740991),
  tokens bigint not null default 0 check (tokens between 0 and 9007199254740991),
  updated_at timestamptz not null default now(),
  version integer not null default 1 check (version > 0),
  enabled boolean not null default true,
  counted_on date not null default '-infinity',
  day_prompts bigint not null default 0 check (day_prompts >= 0),
  day_tokens bigint not null default 0 check (day_tokens >= 0)
) with (fillfactor = 50);
comment on table public.tracker_counters is 'What clients tracked for each account, summed. Written only by the functions of trackers; always the sum of the account''s rollups with the source tracker.';
comment on column public.tracker_counters.user_id is 'The account.';
comment on column public.tracker_counters.prompts is 'Prompts tracked.';
comment on column public.tracker_counters.tokens is 'Language-model tokens tracked.';
comment on column public.tracker_counters.updated_at is 'When something was tracked last.';
comment on column public.tracker_counters.version is 'Tracker tokens carry this number; raising it ends them all.';
comment on column public.tracker_counters.enabled is 'Whether tracker tokens are made for the account.';
comment on column public.tracker_counters.counted_on is 'The day (UTC) the next two columns are about.';
comment on column public.tracker_counters.day_prompts is 'Prompts tracked on that day, which is limited.';
comment on column public.tracker_counters.day_tokens is 'Tokens tracked on that day.';
