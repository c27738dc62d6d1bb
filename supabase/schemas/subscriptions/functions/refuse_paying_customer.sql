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
comment on function private.refuse_paying_customer() is
  'Trigger: keeps the row of a person Stripe still knows, and with it the account.';
