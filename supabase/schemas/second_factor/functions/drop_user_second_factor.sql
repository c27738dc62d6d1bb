create or replace function private.drop_user_second_factor(p_user_id uuid)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_confirmed_at timestamptz;
begin
  -- Its recovery codes, the sign-ins that wait for a code and what a code has proved go with it.
  delete from private.user_second_factors f where f.user_id = p_user_id returning f.confirmed_at into v_confirmed_at;
  return v_confirmed_at is not null;
end
$$;
comment on function private.drop_user_second_factor(uuid) is
  'Removes the second factor of an account with its recovery codes; returns whether it was turned on.';
