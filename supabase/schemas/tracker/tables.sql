-- Prompts and tokens of an account that were used elsewhere, observed and counted, never debited.

create table if not exists public.tracker_counters (
  user_id uuid primary key references public.users (id) on delete cascade,
  prompts bigint not null default 0 check (prompts between 0 and 9007199254740991),
  tokens bigint not null default 0 check (tokens between 0 and 9007199254740991),
  updated_at timestamptz not null default now()
) with (fillfactor = 50);
comment on table public.tracker_counters is 'What clients tracked for each account, summed. Written only by track_usage; always the sum of the account''s rollups with the source tracker.';
comment on column public.tracker_counters.user_id is 'The account.';
comment on column public.tracker_counters.prompts is 'Prompts tracked.';
comment on column public.tracker_counters.tokens is 'Language-model tokens tracked.';
comment on column public.tracker_counters.updated_at is 'When something was tracked last.';
