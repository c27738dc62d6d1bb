create or replace function public.list_all_usage(
  p_actor jsonb, p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: an admin may ask about everybody, which no API role may.
declare
  v_subjects uuid[];
  v_range record;
  v_part tstzrange;
  v_items jsonb := '[]';
begin
  perform private.require_admin(p_actor, 'viewer');
  v_subjects := private.account_subjects(p_user_id);
  if v_subjects is not null or not p_filter ?| '{provider,model,source}' or p_filter ? 'device' then
    return public.list_usage(p_limit, p_from, p_to, p_time_zone, p_filter, p_before_at, p_before_id, v_subjects);
  end if;
  -- What few of everybody's uses have is looked for in the days that have it, the newest first.
  v_range := public.usage_range(p_from, p_to, p_time_zone);
  for v_part in
    select d.part from unnest(private.named_days(v_range.range_from, v_range.range_to, p_filter)) d(part) order by d.part desc
  loop
    exit when jsonb_array_length(v_items) >= p_limit;
    v_items := v_items || public.list_usage(
      p_limit - jsonb_array_length(v_items), lower(v_part)::text, upper(v_part)::text, 'UTC', p_filter, p_before_at,
      p_before_id, null
    );
  end loop;
  return v_items;
end
$$;
grant execute on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) to service_role;
comment on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) is
  'Runs list_usage for an admin: of everybody, or of one account with its devices.';
