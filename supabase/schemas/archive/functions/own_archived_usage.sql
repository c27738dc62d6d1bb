create or replace function public.own_archived_usage(
  p_subject_id uuid, p_linked_to uuid, p_limit integer, p_from timestamptz, p_to timestamptz, p_filter jsonb,
  p_at timestamptz, p_id uuid, p_is_ascending boolean
)
returns setof public.usage_events
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: the archive has no row-level security of its own, so this says whose rows they are, as the policies of
-- usage_events do.
declare
  v_user_id constant uuid := public.current_user_id();
begin
  return query
    select * from private.archived_page(
      p_subject_id, p_linked_to, array_remove(array[v_user_id, public.current_device_id()], null),
      array(select d.id from public.devices d where d.user_id = v_user_id),
      p_limit, p_from, p_to, p_filter, p_at, p_id, p_is_ascending
    );
end
$$;
grant execute on function public.own_archived_usage(uuid, uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean) to authenticated;
comment on function public.own_archived_usage(uuid, uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean) is
  'Returns archived events the caller may see: of a subject, or of devices in an account''s name, before or after a place.';
