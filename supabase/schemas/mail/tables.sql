-- Mails that wait to be sent: written in the statement of what causes them, deleted once they are sent or their time is over.

create table if not exists private.mails (
  id uuid primary key default gen_random_uuid(),
  kind text not null check (kind in ('password_reset', 'email_verification', 'email_change', 'proof_code', 'invitation', 'notice')),
  recipient text check (length(recipient) between 3 and 320),
  subject_id uuid not null,
  sealed bytea not null check (length(sealed) between 1 and 65536),
  queued_at timestamptz not null default now(),
  expires_at timestamptz not null,
  due_at timestamptz not null default now(),
  attempts integer not null default 0 check (attempts >= 0)
);
create index if not exists mails_due_idx on private.mails (due_at, id);
create index if not exists mails_expires_idx on private.mails (expires_at);
create index if not exists mails_recipient_idx on private.mails (recipient);
create index if not exists mails_subject_idx on private.mails (subject_id, kind);
comment on table private.mails is
  'Mails that wait to be sent. A link that is asked for writes a row whether or not there is an account, so that neither the answer nor its time tells.';
comment on column private.mails.id is 'The mail''s id, which its Message-ID has as well.';
comment on column private.mails.kind is 'What the mail is for.';
comment on column private.mails.recipient is 'The address, or null where nobody is mailed: the row goes with the next round.';
comment on column private.mails.subject_id is 'The account, session or invitation it is about; of links, a newer mail about the same replaces it.';
comment on column private.mails.sealed is 'Subject, text and HTML, encrypted (AES-256-GCM) with a key derived from JWT_SECRET: they hold links that open accounts.';
comment on column private.mails.queued_at is 'When it was written.';
comment on column private.mails.expires_at is 'When the link or code in it ends: from then on it is not sent any more.';
comment on column private.mails.due_at is 'When it is to be tried next. While a server tries it, when another one may.';
comment on column private.mails.attempts is 'How often it was tried, the attempt under way included.';
