create or replace function public.begin_oauth_flow(
  p_state_hash text, p_provider text, p_redirect_uri text default null, p_client_state text default null,
  p_code_challenge text default null
)
returns boolean
language sql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read flows.
  insert into private.oauth_flows (state_hash, provider, redirect_uri, client_state, code_challenge)
  values (decode(p_state_hash, 'hex'), p_provider, p_redirect_uri, p_client_state, p_code_challenge)
  returning true
$$;
grant execute on function public.begin_oauth_flow(text, text, text, text, text) to service_role;
comment on function public.begin_oauth_flow(text, text, text, text, text) is
  'Remembers for 10 minutes a sign-in that is sent to a provider, by the SHA-256 (hex) of its state.';
