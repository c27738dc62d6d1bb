-- Whom it is about is written down now: whoever comes to match later is not changed, as the preview did not show them.
create or replace function public.begin_bulk_change(
  p_actor jsonb, p_kind text, p_change jsonb, p_query text default null, p_filter text default null, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads every device and account, which no API role may.
declare
  v_chunk constant integer := 100;
  v_admin_id uuid := (p_actor ->> 'id')::uuid;
  v_request jsonb := jsonb_build_array('begin_bulk_change', p_kind, p_query, p_filter, p_change);
  v_by text := private.require_admin(p_actor);
  v_earlier jsonb;
  v_ids uuid[];
  v_id uuid;
begin
  -- Two requests with one key come one after the other.
  perform from private.admins a where a.id = v_admin_id for no key update;
  v_earlier := private.earlier_answer(v_admin_id, p_key, v_request);
  if v_earlier is not null then
    return private.preview_bulk_change(p_actor, (v_earlier ->> 'id')::uuid);
  end if;
  v_ids := array(select private.find_matches(p_kind, p_query, p_filter));
  insert into private.bulk_changes (subject_kind, change, query, filter, matched, created_by)
  values (p_kind, p_change, p_query, p_filter, cardinality(v_ids), v_by)
  returning id into v_id;
  insert into private.bulk_chunks (change_id, number, ids)
  select v_id, n, v_ids[n * v_chunk + 1:(n + 1) * v_chunk]
    from generate_series(0, (cardinality(v_ids) - 1) / v_chunk) n
   where cardinality(v_ids) > 0;
  if p_key is not null then
    perform private.remember_answer(
      v_admin_id, private.idempotency_key_hash(p_key), private.request_hash(v_request), jsonb_build_object('id', v_id)
    );
  end if;
  return private.preview_bulk_change(p_actor, v_id);
end
$$;
grant execute on function public.begin_bulk_change(jsonb, text, jsonb, text, text, text) to service_role;
comment on function public.begin_bulk_change(jsonb, text, jsonb, text, text, text) is
  'Writes down which devices or accounts match a search and what is to be done to each, and does nothing yet. Returns what bulk_change_json returns, with a preview {sample, balances, pool}; raises IDEMPOTENCY_MISMATCH.';
