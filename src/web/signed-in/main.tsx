import { useEffect, useState } from 'preact/hooks';
import { type Provider, useSignInOptions } from '../account/options.js';
import { ProviderButtons } from '../account/provider-buttons.js';
import { finishSignIn } from '../account/provider-sign-in.js';
import { SecondStep } from '../account/second-step.js';
import { SmallPage } from '../account/small-page.js';
import { ToSignIn } from '../account/to-sign-in.js';
import { ApiFailure } from '../foundation/api/failure.js';
import { ButtonLink } from '../foundation/components/button.js';
import { Failure } from '../foundation/components/notice.js';
import { Loading } from '../foundation/components/spinner.js';
import { mount } from '../foundation/mount.js';
import { findChallenge } from '../foundation/session/person-session.js';
import { findText, t } from '../foundation/text/text.js';

const PROVIDERS: readonly Provider[] = ['google', 'github'];

/** Takes what the browser came back with out of the address: the code in it is a secret. */
function takeAnswer(): URLSearchParams {
  const answer = new URLSearchParams(location.search);
  history.replaceState(null, '', location.pathname);
  return answer;
}

const answer = takeAnswer();

/** Shows the ways to begin anew. */
function Begin({
  title,
  lead,
  only,
}: {
  readonly title: string;
  readonly lead?: string;
  readonly only?: Provider | undefined;
}) {
  const { data } = useSignInOptions();
  return (
    <SmallPage title={title} lead={lead} focus={lead !== undefined}>
      {data !== undefined && (
        <ProviderButtons options={data} providers={only === undefined ? data.providers : [only]} />
      )}
      <ToSignIn />
    </SmallPage>
  );
}

/**
 * Says why a sign-in failed: by our own codes, or by those of RFC 6749, which come from the provider's side. What else the
 * address says is shown to nobody, as anybody can write it.
 */
function explain(error: string): string {
  const isCode = /^[A-Z_]+$/.test(error);
  return (
    findText(`account.signInErrors.${error}`) ??
    (isCode ? findText(`errors.${error}`) : undefined) ??
    t('account.signInFailedLead')
  );
}

/** Exchanges the code, and goes to the dashboard. */
function Finish({ code }: { readonly code: string }) {
  const [failure, setFailure] = useState<ApiFailure | undefined>();
  useEffect(() => {
    finishSignIn(code, answer.get('state')).then(
      () => location.replace('dashboard'),
      (error: unknown) => {
        if (!(error instanceof ApiFailure)) throw error;
        setFailure(error);
      },
    );
  }, [code]);
  if (failure === undefined)
    return (
      <SmallPage title={t('account.signingIn')}>
        <Loading />
      </SmallPage>
    );
  const challenge = findChallenge(failure);
  if (challenge !== undefined)
    return (
      <SmallPage title={t('account.signIn')}>
        <SecondStep
          challenge={challenge}
          onSignedIn={() => location.replace('dashboard')}
          onRestart={() => location.replace('dashboard')}
        />
      </SmallPage>
    );
  if (failure.code !== 'NO_ANSWER') return <Begin title={t('account.signInFailed')} lead={explain(failure.code)} />;
  return (
    <SmallPage title={t('account.signInFailed')} focus>
      <Failure failure={failure} />
      <ButtonLink href="dashboard">{t('account.backToSignIn')}</ButtonLink>
    </SmallPage>
  );
}

function SignedIn() {
  const [code, error] = [answer.get('code'), answer.get('error')];
  if (code !== null) return <Finish code={code} />;
  if (error !== null) return <Begin title={t('account.signInFailed')} lead={explain(error)} />;
  const only = PROVIDERS.find((provider) => provider === answer.get('provider'));
  return <Begin title={t('account.signIn')} only={only} />;
}

void mount(SignedIn);
