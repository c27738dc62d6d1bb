-- Forgets all but the newest deletions, and notes up to where: whoever knows no later version reads everything anew.
create or replace function private.prune_settings(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_oldest record;
begin
  select d.version, d.name into v_oldest
    from public.settings_entries d
   where d.user_id = p_user_id and d.deleted
   order by d.version desc, d.name
  offset 1000 limit 1;
  if found then
    with pruned as (
      delete from public.settings_entries e
       where e.user_id = p_user_id and e.deleted
         and (e.version < v_oldest.version or (e.version = v_oldest.version and e.name >= v_oldest.name))
      returning e.version, e.updated_at
    )
    update public.settings s
       set pruned_version = greatest(s.pruned_version, p.version), pruned_at = greatest(s.pruned_at, p.updated_at)
      from (select max(version) as version, max(updated_at) as updated_at from pruned) p
     where s.user_id = p_user_id;
  end if;
  delete from public.settings_versions v
   where v.user_id = p_user_id and v.version <= (select s.version - 20 from public.settings s where s.user_id = p_user_id);
end
$$;
comment on function private.prune_settings(uuid) is 'Keeps the newest 1,000 deletions and the last 20 versions of an account''s settings.';
