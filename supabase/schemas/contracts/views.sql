-- The tables of the published contracts, under their names and columns, for dashboards and Studio. Invoker's rights and no
-- grants: like the views of admins, these are for the dashboard's own role. They have a schema of their own, as `users`,
-- `subscriptions` and `settings` mean something else in `public`, and as the Data API shows nothing of this one.

create or replace view contracts.usage with (security_invoker = true) as
  select e.id, e.user_id, e.provider, e.model, e.input_tokens, e.output_tokens, e.total_tokens,
         (extract(epoch from e.occurred_at) * 1000)::bigint as timestamp, e.url, e.created_at, e.source, e.occurred_at
    from private.every_event e
   where e.user_id is not null;
comment on view contracts.usage is 'Contract 1''s table usage: what accounts used, a row an event.';
comment on column contracts.usage.id is 'The event''s id.';
comment on column contracts.usage.user_id is 'The account.';
comment on column contracts.usage.provider is 'chatgpt, claude, gemini or another.';
comment on column contracts.usage.model is 'The model.';
comment on column contracts.usage.input_tokens is 'Tokens sent.';
comment on column contracts.usage.output_tokens is 'Tokens received.';
comment on column contracts.usage.total_tokens is 'Tokens altogether.';
comment on column contracts.usage.timestamp is 'When it happened, in milliseconds since 1970.';
comment on column contracts.usage.url is 'The page it happened on.';
comment on column contracts.usage.created_at is 'When it was recorded.';
comment on column contracts.usage.source is 'Which API recorded it; contract 1 has extension.';
comment on column contracts.usage.occurred_at is 'When it happened; narrowed by it, a query reads those months only.';

create or replace view contracts.users with (security_invoker = true) as
  select u.id, u.email, private.display_name(u) as name, u.picture,
         coalesce(b.allocated, 0) as total_tokens, coalesce(b.used, 0) as tokens_used,
         coalesce(b.allocated - b.used - b.reserved, 0) as tokens_left,
         u.created_at, greatest(u.updated_at, b.updated_at) as updated_at,
         i.provider as oauth_provider, i.subject as oauth_id,
         coalesce(public.effective_tier(s), 'free') as tier,
         coalesce(c.tokens, 0) as "tokenCount", coalesce(c.prompts, 0) as "promptCount", u.created_at as "createdAt"
    from public.users u
    left join public.balances b on b.subject_id = u.id
    left join public.subscriptions s on s.user_id = u.id
    left join public.tracker_counters c on c.user_id = u.id
    left join lateral (
      select e.provider, e.subject from private.external_identities e where e.user_id = u.id order by e.created_at, e.provider limit 1
    ) i on true;
comment on view contracts.users is 'The contracts'' table users: accounts with their balance, tier and tracked counters. Passwords and keys are not in it.';
comment on column contracts.users.id is 'The account''s id.';
comment on column contracts.users.email is 'Its e-mail address.';
comment on column contracts.users.name is 'Its name, or what is before the @ of its address.';
comment on column contracts.users.picture is 'Address of a picture.';
comment on column contracts.users.total_tokens is 'Contract 4: tokens granted.';
comment on column contracts.users.tokens_used is 'Contract 4: tokens used.';
comment on column contracts.users.tokens_left is 'Contract 4: tokens left, not counting those held.';
comment on column contracts.users.created_at is 'When it was created.';
comment on column contracts.users.updated_at is 'When its profile or balance last changed.';
comment on column contracts.users.oauth_provider is 'Contract 5: google or github, the first it signed in with; null without one.';
comment on column contracts.users.oauth_id is 'Contract 5: its id there.';
comment on column contracts.users.tier is 'Contract 5: free, pro or premium, as it holds now.';
comment on column contracts.users."tokenCount" is 'Contract 2: tokens tracked.';
comment on column contracts.users."promptCount" is 'Contract 2: prompts tracked.';
comment on column contracts.users."createdAt" is 'Contract 2: when it was created.';

create or replace view contracts.subscriptions with (security_invoker = true) as
  select s.user_id as id, s.user_id, s.stripe_customer_id, s.stripe_subscription_id,
         public.effective_tier(s) as tier, s.status, s.current_period_end, s.created_at, s.updated_at
    from public.subscriptions s;
comment on view contracts.subscriptions is 'Contract 5''s table subscriptions: one of each account that has, or had, one.';
comment on column contracts.subscriptions.id is 'The account''s id, as an account has one.';
comment on column contracts.subscriptions.user_id is 'The account.';
comment on column contracts.subscriptions.stripe_customer_id is 'Its customer at Stripe.';
comment on column contracts.subscriptions.stripe_subscription_id is 'The subscription at Stripe.';
comment on column contracts.subscriptions.tier is 'free, pro or premium, as it holds now.';
comment on column contracts.subscriptions.status is 'As Stripe calls it, or none.';
comment on column contracts.subscriptions.current_period_end is 'End of the period being billed.';
comment on column contracts.subscriptions.created_at is 'When the row was made.';
comment on column contracts.subscriptions.updated_at is 'When it last changed.';

create or replace view contracts.settings with (security_invoker = true) as
  select s.user_id as id, s.user_id, coalesce(v.settings, '{}') as settings, s.last_synced_at, s.created_at,
         s.last_synced_at as updated_at
    from public.settings s
    left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version;
comment on view contracts.settings is 'Contract 5''s table settings: a document an account.';
comment on column contracts.settings.id is 'The account''s id, as an account has one document.';
comment on column contracts.settings.user_id is 'The account.';
comment on column contracts.settings.settings is 'All settings, as one object.';
comment on column contracts.settings.last_synced_at is 'When they last changed.';
comment on column contracts.settings.created_at is 'When the account first had some.';
comment on column contracts.settings.updated_at is 'The same as last_synced_at.';
