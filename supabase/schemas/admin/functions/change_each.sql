create or replace function private.change_each(p_actor jsonb, p_kind text, p_ids uuid[], p_change jsonb)
returns jsonb[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_items jsonb[] := '{}';
  v_id uuid;
  v_item jsonb;
  v_answer jsonb;
  v_code text;
begin
  perform from public.balances b where b.subject_id = any (p_ids) order by b.subject_id for update;
  for v_id in select distinct i from unnest(p_ids) i order by 1 loop
    v_item := jsonb_build_object(
      'id', v_id,
      'name', coalesce(
        (select d.name from public.devices d where d.id = v_id and d.deleted_at is null),
        (select u.email from public.users u where u.id = v_id)
      ),
      'before', private.balance_json(v_id)
    );
    begin
      v_answer := private.change_one(p_actor, p_kind, v_id, p_change);
      v_item := v_item || jsonb_build_object(
        'after', private.balance_json(v_id), 'entry', v_answer #> '{entries,0,id}', 'code', null
      );
    exception
      when others then
        if sqlstate not like 'PT4%' or sqlstate = 'PT401' then
          raise;
        end if;
        get stacked diagnostics v_code = message_text;
        v_item := v_item || jsonb_build_object('after', null, 'entry', null, 'code', v_code);
    end;
    v_items := v_items || v_item;
  end loop;
  return v_items;
end
$$;
comment on function private.change_each(jsonb, text, uuid[], jsonb) is
  'Does {action, tokens, tier, api_keys} to each of the devices or accounts that it is not refused for, in id order; returns {id, name, before, after, entry, code} of each. The accounts and the pool must be locked.';
