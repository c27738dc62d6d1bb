-- What admins look at in Supabase Studio. Invoker's rights and no grants: these are for the dashboard's own role.

create or replace view public.device_overview with (security_invoker = true) as
  select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved,
         b.remaining, d.blocked, d.registrations, d.last_registered_at, d.created_at
    from public.devices d
    join public.balances b on b.subject_id = d.id
    left join public.users u on u.id = d.user_id
   where d.deleted_at is null;
comment on view public.device_overview is 'Devices with their balance and the account they are linked to.';
comment on column public.device_overview.id is 'The device''s id.';
comment on column public.device_overview.name is 'Its name.';
comment on column public.device_overview.user_email is 'The account it is linked to.';
comment on column public.device_overview.allocated is 'Tokens granted.';
comment on column public.device_overview.used is 'Tokens used in this period.';
comment on column public.device_overview.reserved is 'Tokens held.';
comment on column public.device_overview.remaining is 'Tokens left.';
comment on column public.device_overview.blocked is 'Whether it is blocked.';
comment on column public.device_overview.registrations is 'How often it registered.';
comment on column public.device_overview.last_registered_at is 'When it registered last.';
comment on column public.device_overview.created_at is 'When it registered first.';

create or replace view public.user_overview with (security_invoker = true) as
  select u.id, u.email, u.name, b.allocated, b.used, b.reserved, b.remaining,
         (select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null) as devices, u.created_at
    from public.users u
    left join public.balances b on b.subject_id = u.id;
comment on view public.user_overview is 'Accounts with their balance and number of devices.';
comment on column public.user_overview.id is 'The account''s id.';
comment on column public.user_overview.email is 'Its e-mail address.';
comment on column public.user_overview.name is 'Its name.';
comment on column public.user_overview.allocated is 'Tokens granted.';
comment on column public.user_overview.used is 'Tokens used.';
comment on column public.user_overview.reserved is 'Tokens held.';
comment on column public.user_overview.remaining is 'Tokens left.';
comment on column public.user_overview.devices is 'Devices linked to it.';
comment on column public.user_overview.created_at is 'When it was created.';

create or replace view public.usage_by_day with (security_invoker = true) as
  select (bucket at time zone 'UTC')::date as day, sum(events) as events, sum(prompts) as prompts,
         sum(total_tokens) as total_tokens, sum(cost) as cost
    from public.usage_totals
   group by 1;
comment on view public.usage_by_day is 'Usage of everybody per day (UTC).';
comment on column public.usage_by_day.day is 'The day (UTC).';
comment on column public.usage_by_day.events is 'Number of events.';
comment on column public.usage_by_day.prompts is 'Sum of prompts.';
comment on column public.usage_by_day.total_tokens is 'Sum of language-model tokens.';
comment on column public.usage_by_day.cost is 'Sum of what was debited.';

create or replace view public.usage_by_model with (security_invoker = true) as
  select date_trunc('month', bucket, 'UTC')::date as month, provider, model, source,
         sum(events) as events, sum(prompts) as prompts, sum(total_tokens) as total_tokens, sum(cost) as cost
    from private.every_rollup
   group by 1, 2, 3, 4;
comment on view public.usage_by_model is 'Usage of everybody per month, provider, model and source.';
comment on column public.usage_by_model.month is 'First day of the month (UTC).';
comment on column public.usage_by_model.provider is 'The AI provider.';
comment on column public.usage_by_model.model is 'The model.';
comment on column public.usage_by_model.source is 'Which API recorded the events.';
comment on column public.usage_by_model.events is 'Number of events.';
comment on column public.usage_by_model.prompts is 'Sum of prompts.';
comment on column public.usage_by_model.total_tokens is 'Sum of language-model tokens.';
comment on column public.usage_by_model.cost is 'Sum of what was debited.';

create or replace view public.money_by_model with (security_invoker = true) as
  select date_trunc('month', bucket, 'UTC')::date as month, provider, model, sum(events) as events,
         sum(total_tokens) as total_tokens, sum(cost) as cost, sum(nano_usd) as nano_usd,
         round(sum(nano_usd) / 1000000000, 6) as usd
    from private.every_rollup
   where source in ('chat', 'api')
   group by 1, 2, 3;
comment on view public.money_by_model is 'What model providers charge for everybody''s chat requests, per month, provider and model.';
comment on column public.money_by_model.month is 'First day of the month (UTC).';
comment on column public.money_by_model.provider is 'The AI provider.';
comment on column public.money_by_model.model is 'The model.';
comment on column public.money_by_model.events is 'Number of requests.';
comment on column public.money_by_model.total_tokens is 'Sum of language-model tokens.';
comment on column public.money_by_model.cost is 'Sum of what was debited.';
comment on column public.money_by_model.nano_usd is 'Sum of what is charged, in nano-dollars, as far as that is known.';
comment on column public.money_by_model.usd is 'The same in US dollars.';
