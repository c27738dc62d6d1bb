create or replace function private.user_factor_json(p_user_id uuid)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('id', f.id, 'secret', f.secret, 'confirmed', f.confirmed_at is not null)
      from private.user_second_factors f where f.user_id = p_user_id
  );
end
$$;
comment on function private.user_factor_json(uuid) is
  'Returns what a code of an account''s second factor is checked against, {id, secret, confirmed}; null without one. For the server alone.';
