create or replace function public.list_bulk_changes(p_actor jsonb, p_kind text default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads bulk changes, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(private.bulk_change_json(page.id) order by page.created_at desc, page.id desc), '[]')
      from (
        select c.id, c.created_at from private.bulk_changes c
         where c.started_at is not null and (p_kind is null or c.subject_kind = p_kind)
         order by c.created_at desc, c.id desc
         limit 20
      ) page
  );
end
$$;
grant execute on function public.list_bulk_changes(jsonb, text) to service_role;
comment on function public.list_bulk_changes(jsonb, text) is
  'Returns the twenty newest bulk changes that did something, of one kind where it is named, as bulk_change_json returns them.';
