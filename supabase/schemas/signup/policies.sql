-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.secrets enable row level security;
alter table private.granted_identities enable row level security;
alter table private.email_verifications enable row level security;
alter table private.email_changes enable row level security;
alter table private.invitations enable row level security;
