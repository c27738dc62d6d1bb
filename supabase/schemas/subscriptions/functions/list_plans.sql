create or replace function public.list_plans(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read plans or subscriptions.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_agg(
             to_jsonb(p) || jsonb_build_object(
               'accounts', case
                 when p.tier = 'free' then (select count(*) from public.users) - paying.everybody else coalesce(t.accounts, 0)
               end
             ) order by p.monthly_tokens, p.tier
           )
      from public.plans p
     cross join lateral (
       select count(*) as everybody from public.subscriptions s where public.effective_tier(s) <> 'free'
     ) paying
      left join (
        select public.effective_tier(s) as tier, count(*) as accounts from public.subscriptions s group by 1
      ) t on t.tier = p.tier
  );
end
$$;
grant execute on function public.list_plans(jsonb) to service_role;
comment on function public.list_plans(jsonb) is
  'Returns what each tier is worth and how many accounts have it: [{tier, monthly_tokens, device_limit, updated_at, accounts}].';
