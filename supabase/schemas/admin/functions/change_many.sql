-- A preview does everything and takes it back: it can say nothing but what would happen.
create or replace function public.change_many(
  p_actor jsonb, p_kind text, p_ids uuid[], p_change jsonb, p_dry_run boolean, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: changes devices, accounts and balances, which no API role may.
declare
  v_request jsonb := jsonb_build_array('change_many', p_kind, to_jsonb(p_ids), p_change);
  v_before jsonb;
  v_after jsonb;
  v_items jsonb[];
  v_refused integer;
  v_answer jsonb;
begin
  perform private.require_admin(p_actor);
  perform private.lock_for_change(p_kind, p_ids);
  v_answer := private.earlier_answer((p_actor ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  v_before := private.budget_json(p_kind);
  begin
    v_items := private.change_each(p_actor, p_kind, p_ids, p_change);
    v_refused := (select count(*) from unnest(v_items) i where i ->> 'code' is not null);
    v_after := private.budget_json(p_kind);
    if p_dry_run or v_refused > 0 then
      raise sqlstate 'TL000';
    end if;
  exception
    when sqlstate 'TL000' then null;
  end;
  if v_refused > 0 and not p_dry_run then
    raise sqlstate 'PT409' using message = 'BULK_REFUSED', detail = jsonb_build_object('refused', v_refused)::text;
  end if;
  v_answer := jsonb_build_object(
    'applied', not p_dry_run, 'refused', v_refused, 'items', to_jsonb(v_items),
    'pool', jsonb_build_object('before', v_before, 'after', v_after)
  );
  if p_key is not null and not p_dry_run then
    perform private.remember_answer(
      (p_actor ->> 'id')::uuid, private.idempotency_key_hash(p_key), private.request_hash(v_request), v_answer
    );
  end if;
  return v_answer;
end
$$;
grant execute on function public.change_many(jsonb, text, uuid[], jsonb, boolean, text) to service_role;
comment on function public.change_many(jsonb, text, uuid[], jsonb, boolean, text) is
  'Does {action, tokens, tier, api_keys} to all of the devices or accounts or to none. Returns {applied, refused, items: [{id, name, before, after, entry, code}], pool}; a dry run takes everything back and tells of each what would come of it. Raises BULK_REFUSED where one is refused, IDEMPOTENCY_MISMATCH.';
