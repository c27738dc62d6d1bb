create or replace function public.archived_rollups(p_subjects uuid[], p_from timestamptz, p_to timestamptz)
returns setof public.usage_rollups
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  if p_from >= public.archived_until() is not false then
    return;
  elsif has_table_privilege('public.usage_totals', 'select') then
    return query
      select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
             u.total_tokens, u.cost, u.nano_usd
        from private.unpacked_rollups u
       where u.subject_id = any (p_subjects) and u.month >= date_trunc('month', p_from, 'UTC') and u.month < p_to
         and u.bucket >= p_from and u.bucket < p_to;
  else
    return query select * from public.own_archived_rollups(p_subjects, p_from, p_to);
  end if;
end
$$;
grant execute on function public.archived_rollups(uuid[], timestamptz, timestamptz) to authenticated;
comment on function public.archived_rollups(uuid[], timestamptz, timestamptz) is
  'Returns archived rollups of subjects, as far as the caller may see them, between two times.';
