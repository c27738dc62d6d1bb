create or replace function private.require_hand_person(p_person uuid)
returns uuid
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from public.users u where u.id = p_person) then
    raise exception 'There is no person %: user_overview lists them, and find_person(''ada@example.com'') finds one by address',
      coalesce(p_person::text, 'null') using errcode = 'PT404';
  end if;
  return p_person;
end
$$;
comment on function private.require_hand_person(uuid) is 'Returns the id of a person somebody named by hand; refuses one that nobody has, in a sentence.';
