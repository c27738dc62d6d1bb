-- Events of one person wait for each other here, and for a deletion. An unknown customer returns null.
create or replace function private.lock_customer(p_customer_id text, p_user_id uuid)
returns uuid
language plpgsql volatile set search_path = ''
as $$
declare
  v_user_id uuid;
begin
  select s.user_id into v_user_id from public.subscriptions s where s.stripe_customer_id = p_customer_id;
  if v_user_id is null or v_user_id <> p_user_id then
    return null;
  end if;
  perform from public.users u where u.id = v_user_id for no key update;
  -- The account may have been deleted, or its customer replaced, while this waited.
  return (
    select s.user_id from public.subscriptions s where s.user_id = v_user_id and s.stripe_customer_id = p_customer_id
  );
end
$$;
comment on function private.lock_customer(text, uuid) is
  'Returns the account of a Stripe customer, locked until the transaction ends; null for an unknown customer, or one of another user than the given.';
