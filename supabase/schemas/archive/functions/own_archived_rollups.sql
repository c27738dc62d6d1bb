create or replace function public.own_archived_rollups(p_subjects uuid[], p_from timestamptz, p_to timestamptz)
returns setof public.usage_rollups
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
-- Definer: the archive has no row-level security of its own, so this says whose rows they are, as the policy of
-- usage_rollups does.
declare
  v_user_id constant uuid := public.current_user_id();
  v_device_id constant uuid := public.current_device_id();
begin
  return query
    select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
           u.total_tokens, u.cost, u.nano_usd
      from private.unpacked_rollups u
     where u.subject_id = any (
             array(
               select s.id from unnest(p_subjects) s(id) where s.id in (v_user_id, v_device_id)
               union
               select d.id from public.devices d where d.user_id = v_user_id and d.id = any (p_subjects)
             )
           )
       and u.month >= date_trunc('month', p_from, 'UTC') and u.month < p_to and u.bucket >= p_from and u.bucket < p_to;
end
$$;
grant execute on function public.own_archived_rollups(uuid[], timestamptz, timestamptz) to authenticated;
comment on function public.own_archived_rollups(uuid[], timestamptz, timestamptz) is
  'Returns archived rollups of those of the subjects that the caller may see, between two times.';
