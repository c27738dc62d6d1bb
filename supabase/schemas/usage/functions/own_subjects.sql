-- The usage queries run with their caller's rights: for a person row-level security decides, and for an admin list_all_usage
-- and summarize_all_usage ask for everybody.
create or replace function public.own_subjects()
returns uuid[]
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_user_id constant uuid := public.require_current_user('usage:read');
begin
  return v_user_id || array(select d.id from public.devices d where d.user_id = v_user_id);
end
$$;
grant execute on function public.own_subjects() to authenticated;
comment on function public.own_subjects() is
  'Returns the caller and their devices: whose rows to look for. Row-level security still decides which of them are seen.';
