-- The caller holds the user pool, which whoever pays a grant takes first: two that prove one identity at the same moment
-- come here one after the other.
create or replace function private.remember_identities(p_user_id uuid)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_identities bytea[];
  v_remembered integer;
begin
  select array_agg(distinct private.identity_digest(identity.name)) into v_identities
    from (
      select 'email ' || private.mailbox_of(u.email) as name from public.users u where u.id = p_user_id
      union all
      select i.provider || ' ' || i.subject from private.external_identities i where i.user_id = p_user_id
    ) identity;
  insert into private.granted_identities (digest)
  select digest from unnest(v_identities) as digest order by digest
  on conflict (digest) do nothing;
  get diagnostics v_remembered = row_count;
  return v_remembered = cardinality(v_identities);
end
$$;
comment on function private.remember_identities(uuid) is
  'Remembers the mailbox and the provider accounts of an account; returns whether none of them was remembered before.';
