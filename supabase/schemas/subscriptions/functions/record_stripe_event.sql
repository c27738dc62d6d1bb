-- A second delivery that arrives meanwhile waits here until the first commits or fails.
create or replace function private.record_stripe_event(p_event jsonb)
returns boolean
language plpgsql volatile set search_path = ''
as $$
begin
  if p_event is null then
    return true;
  end if;
  insert into private.stripe_events (id, type, created_at)
  values (p_event ->> 'id', p_event ->> 'type', to_timestamp((p_event ->> 'created')::bigint))
  on conflict (id) do nothing;
  return found;
end
$$;
comment on function private.record_stripe_event(jsonb) is
  'Notes an event {id, type, created}; false where its effect has committed before. True where there is none to note.';
