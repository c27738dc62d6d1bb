create or replace function public.find_person(p_email text)
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_id uuid;
begin
  select u.id into v_id from public.users u where u.email = lower(btrim(p_email));
  if not found then
    raise exception 'Nobody has the address %: user_overview lists everybody', coalesce(p_email, 'null') using errcode = 'PT404';
  end if;
  return v_id;
end
$$;
comment on function public.find_person(text) is
  'For the SQL editor: returns the id of the person with this address.';
