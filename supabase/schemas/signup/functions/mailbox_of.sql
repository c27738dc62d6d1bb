-- Accounts are kept under the address as it is written; this only tells whether two addresses are one mailbox's, where
-- the same person could be paid twice. Sub-addresses (RFC 5233) are what most providers deliver to the mailbox before the
-- plus; Gmail ignores dots, and is known under two names.
create or replace function private.mailbox_of(p_email text)
returns text
language plpgsql immutable set search_path = ''
as $$
declare
  v_email text := lower(normalize(p_email, NFKC));
  v_domain text := substring(v_email from '@([^@]*)$');
  v_local text := left(v_email, length(v_email) - length(v_domain) - 1);
begin
  v_local := coalesce(nullif(split_part(v_local, '+', 1), ''), v_local);
  if v_domain in ('gmail.com', 'googlemail.com') then
    v_domain := 'gmail.com';
    v_local := replace(v_local, '.', '');
  end if;
  return v_local || '@' || v_domain;
end
$$;
comment on function private.mailbox_of(text) is
  'Returns the mailbox an address is delivered to: without a sub-address behind a plus, at Gmail without dots.';
