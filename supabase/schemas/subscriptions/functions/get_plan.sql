create or replace function public.get_plan(p_tier text)
returns jsonb
language sql stable security definer set search_path = ''
as $$
  -- Definer: no API role may read the plans, but everybody may know what one tier is worth.
  select jsonb_build_object('tier', p.tier, 'monthly_tokens', p.monthly_tokens, 'device_limit', p.device_limit)
    from public.plans p where p.tier = p_tier
$$;
grant execute on function public.get_plan(text) to authenticated;
comment on function public.get_plan(text) is 'Returns what a tier is worth: {tier, monthly_tokens, device_limit}.';
