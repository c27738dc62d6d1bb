-- No policy and no grant: only functions with their definer's rights reach it.
alter table private.mails enable row level security;
