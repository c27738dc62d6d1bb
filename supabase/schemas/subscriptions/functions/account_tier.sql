-- An account is named by its id, or as google:<subject> where only the access token of Google's is at hand.
create or replace function public.account_tier(p_account text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads everybody's subscription, which no API role may.
declare
  v_user_id uuid;
begin
  if p_account like 'google:%' then
    select e.user_id into v_user_id
      from private.external_identities e
     where e.provider = 'google' and e.subject = substr(p_account, length('google:') + 1);
  else
    v_user_id := p_account::uuid;
  end if;
  return (select public.effective_tier(s) from public.subscriptions s where s.user_id = v_user_id);
end
$$;
grant execute on function public.account_tier(text) to service_role;
comment on function public.account_tier(text) is
  'Returns the tier whose limits hold for an account, named by its id or as google:<subject>; null without a subscription.';
