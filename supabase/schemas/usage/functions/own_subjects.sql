-- The usage queries run with their caller's rights: for a person row-level security decides, and for an admin list_all_usage
-- and summarize_all_usage ask for everybody.
create or replace function public.own_subjects()
returns uuid[]
language sql stable set search_path = ''
as $$
  select array_agg(subject_id)
    from (
      select public.require_current_user('usage:read') as subject_id
      union all
      select d.id from public.devices d where d.user_id = (select public.current_user_id())
    ) own
$$;
grant execute on function public.own_subjects() to authenticated;
comment on function public.own_subjects() is
  'Returns the caller and their devices: whose rows to look for. Row-level security still decides which of them are seen.';
