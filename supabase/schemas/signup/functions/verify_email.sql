create or replace function public.verify_email(p_token_hash text, p_default_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads links and writes users and balances, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
  v_email text;
  v_is_change boolean := false;
begin
  select link.user_id into v_user_id
    from (
      select v.user_id from private.email_verifications v where v.token_hash = v_hash
      union all
      select c.user_id from private.email_changes c where c.token_hash = v_hash
    ) link;
  -- The account before its link, as where the account is deleted.
  perform from public.users u where u.id = v_user_id for update;
  delete from private.email_verifications v
   using public.users u
   where v.token_hash = v_hash and v.expires_at > now() and u.id = v.user_id and u.email = v.email
  returning v.email into v_email;
  if not found then
    delete from private.email_changes c where c.token_hash = v_hash and c.expires_at > now() returning c.email into v_email;
    if not found then
      raise sqlstate 'PT400' using message = 'INVALID_VERIFICATION_TOKEN';
    end if;
    v_is_change := true;
    if not private.change_email(v_user_id, v_email) then
      raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
    end if;
  end if;
  -- Whoever made the account asked for this link and says so on its page: what opens the account stays.
  update public.users set email_verified_at = coalesce(email_verified_at, now()), updated_at = now() where id = v_user_id;
  perform private.grant_default_tokens(v_user_id, p_default_tokens, 'system:verification');
  return jsonb_build_object('email', v_email, 'changed', v_is_change);
end
$$;
grant execute on function public.verify_email(text, bigint) to service_role;
comment on function public.verify_email(text, bigint) is
  'Uses up the token (SHA-256, hex) of a mailed link: marks the address as proved, or changes it to the new one, and pays the default tokens where they were not. Returns {email, changed}; raises INVALID_VERIFICATION_TOKEN, EMAIL_TAKEN.';
