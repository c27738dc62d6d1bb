create or replace function private.require_kind(p_subject uuid)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_kind text;
begin
  select s.kind into v_kind
    from (
      select 'device' as kind from public.devices d where d.id = p_subject and d.deleted_at is null
      union all
      select 'user' from public.users u where u.id = p_subject
    ) s;
  if not found then
    raise exception 'There is no device or person %: device_overview and user_overview list them', coalesce(p_subject::text, 'null')
      using errcode = 'PT404';
  end if;
  return v_kind;
end
$$;
comment on function private.require_kind(uuid) is 'Returns device or user, whichever has this id; refuses an id that neither has.';
