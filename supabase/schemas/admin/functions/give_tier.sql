-- A tier that is given is in force like one that is paid, until it is changed; it grants no tokens.
create or replace function private.give_tier(p_by jsonb, p_user_id uuid, p_tier text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
  v_before jsonb;
  v_is_free constant boolean := p_tier = 'free';
begin
  v_target := private.require_account(p_user_id);
  v_before := private.account_json(p_user_id);
  if not v_is_free or exists (select from public.subscriptions s where s.user_id = p_user_id) then
    insert into public.subscriptions as s (user_id, tier, status, current_period_start)
    values (
      p_user_id, case when not v_is_free then p_tier end, case when v_is_free then 'none' else 'active' end,
      case when not v_is_free then now() end
    )
    on conflict (user_id) do update
      set tier = excluded.tier, status = excluded.status, current_period_start = excluded.current_period_start,
          version = s.version + 1, updated_at = now()
    -- What is paid for is Stripe's to tell.
    where s.stripe_subscription_id is null;
    if not found then
      raise sqlstate 'PT409' using message = 'SUBSCRIPTION_RUNNING';
    end if;
  end if;
  perform private.audit_by(
    p_by, 'set_plan', v_target, jsonb_build_object('tier', v_before -> 'tier'), jsonb_build_object('tier', p_tier)
  );
  return private.account_json(p_user_id);
end
$$;
comment on function private.give_tier(jsonb, uuid, text) is
  'Gives an account a tier without payment, or takes it back with free, in the name of {name, …}. Returns the account; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING for one that subscribed at Stripe.';
