-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.sessions enable row level security;
alter table private.refresh_tokens enable row level security;
alter table private.login_attempts enable row level security;
alter table private.known_addresses enable row level security;
alter table private.proof_codes enable row level security;
