create or replace function private.record_migration(p_version text, p_sha256 text)
returns void
language sql volatile set search_path = ''
as $$
  insert into private.migration_checksums as m (version, sha256) values (p_version, p_sha256)
  on conflict (version) do update set sha256 = excluded.sha256, applied_at = now() where m.sha256 <> excluded.sha256
$$;
comment on function private.record_migration(text, text) is
  'Notes the SHA-256 of the text a migration ran with. The last statement of every migration.';
