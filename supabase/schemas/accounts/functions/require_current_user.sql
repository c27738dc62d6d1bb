create or replace function public.require_current_user()
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := public.current_user_id();
begin
  if v_user_id is null then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  return v_user_id;
end
$$;
grant execute on function public.require_current_user() to authenticated;
comment on function public.require_current_user() is 'Returns current_user_id, or raises INVALID_TOKEN where it is nobody.';
