create or replace function private.keep_recovery_codes(p_user_id uuid, p_hashes text[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  delete from private.user_recovery_codes c where c.user_id = p_user_id;
  insert into private.user_recovery_codes (user_id, code_hash)
  select p_user_id, decode(h, 'hex') from unnest(p_hashes) h;
end
$$;
comment on function private.keep_recovery_codes(uuid, text[]) is
  'Replaces the recovery codes of an account by those with these digests (SHA-256, hex).';
