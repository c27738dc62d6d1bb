create or replace function private.has_second_factor(p_user_id uuid)
returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return exists (
    select from private.user_second_factors f where f.user_id = p_user_id and f.confirmed_at is not null
  );
end
$$;
comment on function private.has_second_factor(uuid) is 'Returns whether signing in to an account takes the code of a second factor.';
