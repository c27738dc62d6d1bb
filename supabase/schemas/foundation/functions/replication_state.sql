create or replace function public.replication_state()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read which migrations ran.
declare
  v_system text;
begin
  -- Not every host lets its users ask.
  if has_function_privilege('pg_control_system()', 'execute') then
    select c.system_identifier::text into v_system from pg_control_system() c;
  end if;
  return jsonb_build_object(
    'is_standby', pg_is_in_recovery(), 'position', private.wal_position(), 'system', v_system,
    'version', (select max(m.version) from supabase_migrations.schema_migrations m)
  );
end
$$;
grant execute on function public.replication_state() to service_role;
comment on function public.replication_state() is
  'Returns {is_standby, position, system, version}: how far the log of changes is, which cluster it is of (null where that may not be asked), and the newest migration. The server compares what a read replica says with what the primary says.';
