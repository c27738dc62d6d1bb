-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.external_identities enable row level security;
alter table private.oauth_flows enable row level security;
alter table private.oauth_codes enable row level security;
