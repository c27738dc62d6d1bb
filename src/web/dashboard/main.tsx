import { useEffect, useState } from 'preact/hooks';
import { SignInForm } from '../account/sign-in-form.js';
import { SmallPage } from '../account/small-page.js';
import { ApiFailure } from '../foundation/api/failure.js';
import { Button } from '../foundation/components/button.js';
import { Failure, Notice } from '../foundation/components/notice.js';
import { type NavEntry, Shell } from '../foundation/components/shell.js';
import { Loading } from '../foundation/components/spinner.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { mount } from '../foundation/mount.js';
import { noteMove } from '../foundation/router/router.js';
import { type ViewEntry, Views } from '../foundation/router/views.js';
import { person, resume, signOut, wasSignedIn } from '../foundation/session/person-session.js';
import { t } from '../foundation/text/text.js';
import { AccountView } from './account/account-view.js';
import './dashboard.css';
import { DevicesView } from './devices/devices-view.js';
import { KeysView } from './keys/keys-view.js';
import { leaving } from './leaving.js';
import { PlanView } from './plan/plan-view.js';
import { SettingsView } from './settings/settings-view.js';
import { TokensView } from './tokens/tokens-view.js';
import { UsageView } from './usage/usage-view.js';

const VIEWS: readonly ViewEntry[] = [
  { path: '/', view: UsageView },
  { path: '/tokens', view: TokensView },
  { path: '/devices', view: DevicesView },
  { path: '/plan', view: PlanView },
  { path: '/settings', view: SettingsView },
  { path: '/keys', view: KeysView },
  { path: '/account', view: AccountView },
];

const listNav = (): readonly NavEntry[] => [
  { path: '/', label: t('usage.nav') },
  { path: '/tokens', label: t('tokens.nav') },
  { path: '/devices', label: t('devices.nav') },
  { path: '/plan', label: t('plan.nav') },
  { path: '/settings', label: t('settings.nav') },
  { path: '/keys', label: t('keys.nav') },
  { path: '/account', label: t('profile.nav') },
];

function SignIn() {
  const { value: reason } = leaving;
  useEffect(noteMove, []);
  return (
    <SmallPage title={t('account.signInTitle')}>
      {reason !== undefined && (
        <Notice>
          <p role="status">{t(`dashboard.reasons.${reason}`)}</p>
        </Notice>
      )}
      <SignInForm />
    </SmallPage>
  );
}

function Account({ email }: { readonly email: string }) {
  const action = useAction(async () => {
    leaving.value = (await signOut()) ? 'signedOut' : 'unreached';
  });
  return (
    <>
      <span class="address">{email}</span>
      <Button busy={action.busy} onClick={() => void action.run()}>
        {t('dashboard.signOut')}
      </Button>
    </>
  );
}

/** Goes on with the session of this tab. Without an answer the session may still be good, and one can try again. */
function Resume({ onEnded }: { readonly onEnded: () => void }) {
  const [failure, setFailure] = useState<ApiFailure | undefined>();
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    setFailure(undefined);
    resume().catch((error: unknown) => {
      if (!(error instanceof ApiFailure)) throw error;
      if (error.code === 'SESSION_ENDED') onEnded();
      else setFailure(error);
    });
  }, [attempt]);
  return (
    <Shell>
      {failure === undefined ? <Loading /> : <Failure failure={failure} retry={() => setAttempt(attempt + 1)} />}
    </Shell>
  );
}

function Dashboard() {
  const [resuming, setResuming] = useState(wasSignedIn);
  const { value: who } = person;
  // Whoever was signed in and is no longer, without having signed out, is told that the session ended.
  useEffect(() => {
    if (who === undefined) return;
    setResuming(false);
    leaving.value = 'ended';
  }, [who]);
  if (who === undefined && resuming)
    return (
      <Resume
        onEnded={() => {
          leaving.value = 'ended';
          setResuming(false);
        }}
      />
    );
  if (who === undefined) return <SignIn />;
  return (
    <Shell nav={listNav()} account={<Account email={who.email} />}>
      <Views key={who.id} entries={VIEWS} />
    </Shell>
  );
}

void mount(Dashboard);
