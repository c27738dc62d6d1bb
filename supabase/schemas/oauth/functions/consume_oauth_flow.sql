create or replace function public.consume_oauth_flow(p_state_hash text, p_provider text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read flows.
declare
  v_flow private.oauth_flows;
begin
  delete from private.oauth_flows f
   where f.state_hash = decode(p_state_hash, 'hex') and f.provider = p_provider and f.expires_at > now()
  returning f.* into v_flow;
  if not found then
    raise sqlstate 'PT400' using message = 'INVALID_GRANT';
  end if;
  return jsonb_build_object(
    'redirect_uri', v_flow.redirect_uri, 'client_state', v_flow.client_state, 'code_challenge', v_flow.code_challenge
  );
end
$$;
grant execute on function public.consume_oauth_flow(text, text) to service_role;
comment on function public.consume_oauth_flow(text, text) is
  'Ends a sign-in the provider answers: {redirect_uri, client_state, code_challenge}, once. Raises INVALID_GRANT for an unknown, expired or other provider''s state.';
