create or replace function public.set_plan(
  p_actor jsonb, p_tier text, p_monthly_tokens bigint, p_device_limit integer default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write plans.
declare
  v_before public.plans;
  v_after public.plans;
begin
  perform private.require_admin(p_actor);
  select p.* into strict v_before from public.plans p where p.tier = p_tier for update;
  update public.plans p
     set monthly_tokens = p_monthly_tokens, device_limit = p_device_limit, updated_at = now()
   where p.tier = p_tier
  returning p.* into v_after;
  perform private.audit_admin(p_actor, 'set_plan_worth', 'plan:' || p_tier, to_jsonb(v_before), to_jsonb(v_after));
  return public.list_plans(p_actor);
end
$$;
grant execute on function public.set_plan(jsonb, text, bigint, integer) to service_role;
comment on function public.set_plan(jsonb, text, bigint, integer) is
  'Sets what a tier is worth from its next payment on, and how many devices it may link, null for any number. Returns all plans.';
