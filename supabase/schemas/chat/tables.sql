-- The requests the server passes on to a language model, each paid for by a hold.

-- No foreign key to the hold: meter_chat alone inserts either, both at once, and they stay. To check that and to lock the
-- hold for it would take a tenth of the time a request waits for its hold. One check for all numbers of a kind, as Postgres
-- reads each check anew for every statement that writes.
create table if not exists public.generations (
  id uuid primary key,
  subject_id uuid not null,
  source text not null check (source in ('chat', 'api')),
  model text not null check (length(model) between 1 and 200),
  provider text check (length(provider) between 1 and 50),
  upstream_id text check (length(upstream_id) between 1 and 200),
  input_estimate bigint not null,
  provenance text check (provenance in ('provider_final', 'estimated')),
  input_tokens bigint,
  output_tokens bigint,
  uncollected bigint not null default 0,
  reconcile_at timestamptz,
  reconcile_tries smallint not null default 0,
  created_at timestamptz not null default now(),
  streamed boolean not null default false,
  input_seen bigint,
  output_seen bigint,
  input_floor bigint not null default 0,
  output_floor bigint not null default 0,
  input_weight numeric(12, 4) not null default 1,
  output_weight numeric(12, 4) not null default 1,
  input_price numeric,
  output_price numeric,
  request_price numeric,
  constraint generations_tokens_check check (
    least(
      input_estimate - 1, input_tokens, output_tokens, uncollected, reconcile_tries, input_seen, output_seen, input_floor,
      output_floor
    ) >= 0
  ),
  constraint generations_prices_check check (
    least(input_weight, output_weight, input_price, output_price, request_price) >= 0
  )
) with (fillfactor = 70);
create index if not exists generations_subject_idx on public.generations (subject_id, created_at, id);
create index if not exists generations_created_idx on public.generations using brin (created_at);
create index if not exists generations_reconcile_idx on public.generations (reconcile_at) where reconcile_at is not null;
comment on table public.generations is 'One row per chat request: what its hold was for, and what it came to. Nothing of a prompt or an answer.';
comment on column public.generations.id is 'The request''s id: that of its hold, and of the usage event that settled it.';
comment on column public.generations.subject_id is 'The account whose balance pays.';
comment on column public.generations.source is 'Which API recorded it: chat, or api for the OpenAI-compatible one.';
comment on column public.generations.model is 'The model asked for, in lower case.';
comment on column public.generations.provider is 'Who ran the model, as far as upstream said.';
comment on column public.generations.upstream_id is 'The upstream''s id of the generation.';
comment on column public.generations.input_estimate is 'Tokens the prompt was estimated at for the hold.';
comment on column public.generations.provenance is 'provider_final, or estimated until upstream''s own count is known; null while it runs, and where nothing was billed.';
comment on column public.generations.input_tokens is 'Tokens of the prompt.';
comment on column public.generations.output_tokens is 'Tokens of the answer.';
comment on column public.generations.uncollected is 'Tokens upstream counted that exceed all the account was ever given: nobody pays them.';
comment on column public.generations.reconcile_at is 'When upstream is asked (again) for its count; null where there is nothing to ask.';
comment on column public.generations.reconcile_tries is 'How often it was asked.';
comment on column public.generations.created_at is 'When the hold was taken.';
comment on column public.generations.streamed is 'Whether the answer is passed on as it comes, and its progress noted.';
comment on column public.generations.input_seen is 'Tokens of the prompt at the last note; null before the first.';
comment on column public.generations.output_seen is 'Tokens of the answer at the last note; null before the first.';
comment on column public.generations.input_floor is 'Fewest tokens the prompt can be; a smaller count of upstream''s is not believed.';
comment on column public.generations.output_floor is 'Fewest tokens the text that passed can be; a smaller count of upstream''s is not believed.';
comment on column public.generations.input_weight is 'What a token of the prompt debits: the model''s weight when the hold was taken.';
comment on column public.generations.output_weight is 'What a token of the answer debits: the model''s weight when the hold was taken.';
comment on column public.generations.input_price is 'Upstream''s list price of a token of the prompt when the hold was taken, in nano-dollars; null where it was not known.';
comment on column public.generations.output_price is 'The same for a token of the answer.';
comment on column public.generations.request_price is 'The same for the request, whatever was in it.';

create table if not exists public.model_weights (
  model text primary key check (model = lower(btrim(model)) and length(model) between 1 and 200),
  input_weight numeric(12, 4) not null check (input_weight between 0 and 1000000),
  output_weight numeric(12, 4) not null check (output_weight between 0 and 1000000),
  source text not null default 'operator' check (source in ('operator', 'upstream')),
  comment text check (length(comment) <= 500),
  updated_at timestamptz not null default now()
);
comment on table public.model_weights is 'Tokens a token of a model debits from an account in chat; 1 for models without a row. Edit rows freely; the next request uses the new weight.';
comment on column public.model_weights.model is 'The model in lower case; vendor/* stands for all of a vendor without a row of their own, * for all others, *:free for free ones.';
comment on column public.model_weights.input_weight is 'Tokens debited for one token of the prompt.';
comment on column public.model_weights.output_weight is 'Tokens debited for one token of the answer.';
comment on column public.model_weights.source is 'operator, or upstream: derived from its prices, and overwritten when they change. Set it to operator to keep an edited row.';
comment on column public.model_weights.comment is 'Why, for those who come after.';
comment on column public.model_weights.updated_at is 'When the weight last changed.';
