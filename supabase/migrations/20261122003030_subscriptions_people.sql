-- Subscriptions, people: what they see of theirs, and what is needed to act at Stripe for them.

create or replace function public.plan_of_tier(p_tier text)
returns jsonb
language sql stable security definer set search_path = ''
as $$
  -- Definer: plans are nobody's rows; whoever asks is told one tier's worth.
  select jsonb_build_object('tier', p.tier, 'monthly_tokens', p.monthly_tokens, 'device_limit', p.device_limit)
    from public.plans p where p.tier = p_tier
$$;
revoke all on function public.plan_of_tier(text) from public, anon, authenticated, service_role;
grant execute on function public.plan_of_tier(text) to authenticated;
comment on function public.plan_of_tier(text) is 'What a tier is worth: {tier, monthly_tokens, device_limit}.';

-- Rollups know quarter hours; the rest of the first one is counted from the debits themselves.
create or replace function public.my_tokens_used(p_since timestamptz)
returns bigint
language sql stable security invoker set search_path = ''
as $$
  select coalesce(sum(parts.cost), 0)::bigint
    from (
      select public.require_current_user() as user_id,
             date_bin('15 minutes', p_since + interval '15 minutes' - interval '1 microsecond', 'epoch') as quarter
    ) own
    cross join lateral (
      select r.cost from public.usage_rollups r
       where r.subject_id = own.user_id and r.bucket >= own.quarter and r.source <> 'device'
      union all
      select e.cost from public.usage_events e
       where e.subject_id = own.user_id and e.cost > 0 and e.source <> 'device'
         and e.occurred_at >= p_since and e.occurred_at < own.quarter
    ) parts
$$;
revoke all on function public.my_tokens_used(timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.my_tokens_used(timestamptz) to authenticated;
comment on function public.my_tokens_used(timestamptz) is 'Tokens debited from the caller''s balance since a time.';

create or replace function public.my_subscription()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
  v_row public.subscriptions;
  v_tier text;
  v_since timestamptz;
begin
  select s.* into v_row from public.subscriptions s where s.user_id = v_user_id;
  v_tier := coalesce(public.tier_in_force(v_row), 'free');
  v_since := case when v_tier = 'free' then date_trunc('month', now()) else v_row.current_period_start end;
  return jsonb_build_object(
    'tier', v_tier,
    'status', coalesce(v_row.status, 'none'),
    'subscribed_tier', v_row.tier,
    'current_period_start', v_row.current_period_start,
    'current_period_end', v_row.current_period_end,
    'cancel_at_period_end', coalesce(v_row.cancel_at_period_end, false),
    'grace_ends_at', v_row.grace_ends_at,
    'usage', public.plan_of_tier(v_tier) - 'tier' || jsonb_build_object(
      'since', v_since,
      'tokens_granted', (
        select coalesce(sum(g.granted_tokens), 0) from public.subscription_grants g
         where g.user_id = v_user_id and g.period_start >= v_since
      ),
      'tokens_used', public.my_tokens_used(v_since),
      'tokens_left', (
        select coalesce(sum(b.allocated - b.used - b.reserved), 0) from public.balances b where b.subject_id = v_user_id
      ),
      'devices', (select count(*) from public.devices d where d.user_id = v_user_id and d.deleted_at is null)
    )
  );
end
$$;
revoke all on function public.my_subscription() from public, anon, authenticated, service_role;
grant execute on function public.my_subscription() to authenticated;
comment on function public.my_subscription() is
  'The caller''s tier in force, subscription and what was used of it since the period, or for free the month, began.';

create or replace function public.export_subscriptions(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select s.user_id as id, s.stripe_customer_id, s.stripe_subscription_id, s.tier, s.status, s.current_period_start,
               s.current_period_end, s.cancel_at_period_end, s.grace_ends_at, s.started_at, s.created_at, s.updated_at
          from public.subscriptions s
         where s.user_id = v_user_id and (s.created_at, s.user_id) > (p_after_at, p_after_id)
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_subscriptions(integer, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.export_subscriptions(integer, timestamptz, uuid) to authenticated;
comment on function public.export_subscriptions(integer, timestamptz, uuid) is
  'The caller''s subscription, in a list of one or none; after (time, id) to page on.';

create or replace function public.export_subscription_grants(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'user_id' order by page.created_at, page.id), '[]')
      from (
        select g.* from public.subscription_grants g
         where g.user_id = v_user_id and (g.created_at, g.id) > (p_after_at, p_after_id)
         order by g.created_at, g.id
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_subscription_grants(integer, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.export_subscription_grants(integer, timestamptz, uuid) to authenticated;
comment on function public.export_subscription_grants(integer, timestamptz, uuid) is
  'What the caller paid for and was granted, oldest first; after (time, id) to page on.';

create or replace function public.get_stripe_account(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads the address and the subscription of whoever the server names.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (
    select jsonb_build_object(
             'user_id', u.id, 'email', u.email, 'customer_id', s.stripe_customer_id,
             'subscription_id', case when private.is_running(s.status) then s.stripe_subscription_id end,
             'version', coalesce(s.version, 0)
           )
      from public.users u left join public.subscriptions s on s.user_id = u.id
     where u.id = v_user_id
  );
end
$$;
revoke all on function public.get_stripe_account(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.get_stripe_account(jsonb) to service_role;
comment on function public.get_stripe_account(jsonb) is
  'Who the caller is at Stripe: {user_id, email, customer_id, subscription_id, version}; subscription_id is null where none runs.';

create or replace function public.attach_stripe_customer(p_caller jsonb, p_customer_id text, p_replaces text default null)
returns text
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  insert into public.subscriptions as s (user_id, stripe_customer_id, version) values (v_user_id, p_customer_id, 1)
  on conflict (user_id) do update
    set stripe_customer_id = excluded.stripe_customer_id, version = s.version + 1, updated_at = now()
   where s.stripe_customer_id is not distinct from p_replaces;
  return (select s.stripe_customer_id from public.subscriptions s where s.user_id = v_user_id);
end
$$;
revoke all on function public.attach_stripe_customer(jsonb, text, text) from public, anon, authenticated, service_role;
grant execute on function public.attach_stripe_customer(jsonb, text, text) to service_role;
comment on function public.attach_stripe_customer(jsonb, text, text) is
  'Notes who the caller is at Stripe, where they are nobody yet or the one to be replaced. Answers the customer that holds from now on.';

create or replace function public.detach_stripe_customer(p_caller jsonb, p_customer_id text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  update public.subscriptions s
     set stripe_customer_id = null, stripe_subscription_id = null, tier = null, status = 'none',
         current_period_start = null, current_period_end = null, cancel_at_period_end = false, grace_ends_at = null,
         started_at = null, state_at = null, version = s.version + 1, updated_at = now()
   where s.user_id = v_user_id and s.stripe_customer_id = p_customer_id;
  return jsonb_build_object('detached', found);
end
$$;
revoke all on function public.detach_stripe_customer(jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.detach_stripe_customer(jsonb, text) to service_role;
comment on function public.detach_stripe_customer(jsonb, text) is
  'Forgets a customer that was deleted at Stripe, and the subscription that ended with it. Answers {detached}.';

-- Nobody may go on paying for an account that is gone: it cannot be deleted before Stripe has let go of the person, and
-- whoever subscribes in the meantime stops the deletion.
create or replace function private.refuse_paying_customer()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  if old.stripe_customer_id is not null then
    raise sqlstate 'PT409' using message = 'SUBSCRIPTION_RUNNING';
  end if;
  return old;
end
$$;
revoke all on function private.refuse_paying_customer() from public, anon, authenticated, service_role;
comment on function private.refuse_paying_customer() is
  'Trigger: keeps the row of a person Stripe still knows, and with it the account.';
create or replace trigger subscriptions_keep_customers
  before delete on public.subscriptions
  for each row execute function private.refuse_paying_customer();
