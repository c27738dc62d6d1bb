create or replace function public.my_plans()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform public.require_current_user();
  return (
    select jsonb_agg(public.get_plan(tier) order by place)
      from unnest(array['free', 'pro', 'premium']) with ordinality as tiers (tier, place)
  );
end
$$;
grant execute on function public.my_plans() to authenticated;
comment on function public.my_plans() is
  'Returns what each tier is worth, the lowest first: [{tier, monthly_tokens, device_limit}].';
