create or replace function public.update_profile(
  p_caller jsonb, p_changes jsonb, p_token_hash text default null, p_mail text default null, p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_user public.users;
begin
  if p_changes ? 'email' then
    perform private.request_email_change(p_caller, p_changes ->> 'email', p_token_hash, p_mail, p_notice);
  end if;
  update public.users u
     set name = case when p_changes ? 'name' then p_changes ->> 'name' else u.name end,
         picture = case when p_changes ? 'picture' then p_changes ->> 'picture' else u.picture end,
         updated_at = now()
   where u.id = v_user_id
  returning * into v_user;
  return private.profile_json(v_user);
end
$$;
grant execute on function public.update_profile(jsonb, jsonb, text, text, text) to service_role;
comment on function public.update_profile(jsonb, jsonb, text, text, text) is
  'Changes name and picture where {name, picture, email} has them, null to clear; an address waits for the link with this token (SHA-256, hex): the sealed mail with it and the notice to the present address are queued. Returns the profile; raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED for an address without a token.';
