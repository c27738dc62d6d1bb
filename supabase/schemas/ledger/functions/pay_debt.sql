-- Whatever makes tokens available, a grant or a hold that ends, pays the debt first.
create or replace function private.pay_debt()
returns trigger
language plpgsql set search_path = ''
as $$
declare
  -- What will be remaining is worked out after this trigger.
  v_paid bigint := greatest(least(new.debt, new.allocated - new.used - new.reserved), 0);
begin
  new.debt := new.debt - v_paid;
  new.used := new.used + v_paid;
  return new;
end
$$;
comment on function private.pay_debt() is 'Trigger: pays a balance''s debt from what is available.';
