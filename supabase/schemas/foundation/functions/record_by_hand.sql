create or replace function private.record_by_hand()
returns trigger
language plpgsql volatile set search_path = ''
as $$
declare
  v_before jsonb;
  v_after jsonb;
  v_changed text[];
  v_why constant text := nullif(btrim(current_setting('tokenledger.by_hand', true)), '');
  v_action constant text := lower(tg_op) || '_' || tg_table_name;
begin
  if tg_level = 'STATEMENT' then
    perform private.audit_by(private.by_hand(v_why), v_action, 'table:' || tg_table_schema || '.' || tg_table_name);
    return null;
  end if;
  if tg_op <> 'INSERT' then
    v_before := to_jsonb(old);
  end if;
  if tg_op <> 'DELETE' then
    v_after := to_jsonb(new);
  end if;
  select array_agg(k order by k) into v_changed
    from jsonb_object_keys(coalesce(v_after, v_before)) as k
   where v_before -> k is distinct from v_after -> k;
  if v_changed is null then
    return null;
  end if;
  if tg_op = 'UPDATE' and v_why is null and not v_changed <@ string_to_array(tg_argv[2], ',') then
    raise exception '%.% may be changed by hand in %, not in %: %', tg_table_schema, tg_table_name,
      replace(tg_argv[2], ',', ', '),
      (select string_agg(c, ', ') from unnest(v_changed) as c where c <> all (string_to_array(tg_argv[2], ','))),
      tg_argv[4] using errcode = '42501';
  end if;
  perform private.audit_by(
    private.by_hand(v_why), v_action, tg_argv[0] || ':' || (coalesce(v_after, v_before) ->> tg_argv[1]),
    (select jsonb_object_agg(c, v_before -> c) from unnest(v_changed) as c
      where v_before is not null and c = any (string_to_array(tg_argv[3], ','))),
    (select jsonb_object_agg(c, v_after -> c) from unnest(v_changed) as c
      where v_after is not null and c = any (string_to_array(tg_argv[3], ',')))
  );
  return null;
end
$$;
comment on function private.record_by_hand() is
  'Trigger: writes a change made by SQL outside the functions into the audit log. Takes what the row is, its id''s column, the columns that may be updated, those whose values are noted, as the log can never be cleaned of what is personal, and the sentence that refuses others.';
