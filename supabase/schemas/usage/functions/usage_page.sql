create or replace function public.usage_page(
  p_subject_id uuid, p_limit integer, p_from timestamptz, p_to timestamptz, p_filter jsonb,
  p_before_at timestamptz, p_before_id uuid
)
returns setof public.usage_events
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_archived_until constant timestamptz := public.archived_until();
  v_page public.usage_events[];
begin
  v_page := array(
    select u from public.usage_events u
     where (p_subject_id is null or u.subject_id = p_subject_id)
       and u.occurred_at >= p_from and u.occurred_at < p_to
       -- The first of the two leaves out whole months, the second one begins at the place itself.
       and u.occurred_at <= coalesce(p_before_at, 'infinity')
       and (p_before_id is null or (u.occurred_at, u.id) < (p_before_at, p_before_id))
       and (p_filter ->> 'provider' is null or u.provider = p_filter ->> 'provider')
       and (p_filter ->> 'model' is null or u.model = lower(btrim(p_filter ->> 'model')))
       and (p_filter ->> 'source' is null or u.source = p_filter ->> 'source')
       and (p_filter ->> 'device' is null or u.device_id = (p_filter ->> 'device')::uuid)
     order by u.occurred_at desc, u.id desc
     limit p_limit
  );
  return query select u.* from unnest(v_page) u;
  -- Events of archived months that lie here came late: others may lie between them.
  if p_from < v_archived_until and (cardinality(v_page) < p_limit or v_page[p_limit].occurred_at < v_archived_until) then
    return query
      select * from public.archived_usage(
        p_subject_id, p_limit, case when cardinality(v_page) < p_limit then p_from else greatest(p_from, v_page[p_limit].occurred_at) end,
        p_to, p_filter, p_before_at, p_before_id
      );
  end if;
end
$$;
grant execute on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) to authenticated;
comment on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) is
  'Returns at least the newest events of one subject, or of everybody the caller may see, before a place, in no order.';
