create or replace function public.export_generations(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select g.id, g.source, g.model, g.provider, g.upstream_id, g.input_estimate, g.provenance,
               g.input_tokens, g.output_tokens, g.uncollected, g.input_weight, g.output_weight, g.created_at
          from public.generations g
         where g.subject_id = v_user_id and (g.created_at, g.id) > (p_after_at, p_after_id)
         order by g.created_at, g.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_generations(integer, timestamptz, uuid) to authenticated;
comment on function public.export_generations(integer, timestamptz, uuid) is
  'Returns the caller''s chat requests, oldest first; after (time, id) to page on.';
