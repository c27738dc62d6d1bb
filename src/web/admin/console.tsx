import { useEffect } from 'preact/hooks';
import { Button } from '../foundation/components/button.js';
import { type NavEntry, Shell } from '../foundation/components/shell.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { toHref } from '../foundation/router/router.js';
import { type ViewEntry, Views } from '../foundation/router/views.js';
import { t } from '../foundation/text/text.js';
import { AccountView } from './account/account-view.js';
import { MissingSecondFactor } from './account/missing-second-factor.js';
import { AdminsView } from './admins/admins-view.js';
import { AuditView } from './audit/audit-view.js';
import { BudgetView } from './budget/budget-view.js';
import { PeriodView } from './budget/period-view.js';
import { ChangesStrip } from './bulk/changes-strip.js';
import { DeviceView } from './devices/device-view.js';
import { DevicesView } from './devices/devices-view.js';
import { BooksView } from './overview/books-view.js';
import { OverviewView } from './overview/overview-view.js';
import { InvitationsView } from './people/invitations-view.js';
import { PeopleView } from './people/people-view.js';
import { PersonView } from './people/person-view.js';
import { PlansView } from './plans/plans-view.js';
import { PricesView } from './prices/prices-view.js';
import { current, isOwner, loadMe, me, signOut } from './session.js';
import { SettingsView } from './settings/settings-view.js';
import { SignIn } from './sign-in.js';
import { UsageView } from './usage/usage-view.js';
import { DeliveriesView } from './webhooks/deliveries-view.js';
import { WebhooksView } from './webhooks/webhooks-view.js';

const VIEWS: readonly ViewEntry[] = [
  { path: '/', view: OverviewView },
  { path: '/devices', view: DevicesView },
  { path: '/devices/:id', view: DeviceView },
  { path: '/people', view: PeopleView },
  { path: '/people/:id', view: PersonView },
  { path: '/invitations', view: InvitationsView },
  { path: '/usage', view: UsageView },
  { path: '/prices', view: PricesView },
  { path: '/budget', view: BudgetView },
  { path: '/budget/:number', view: PeriodView },
  { path: '/plans', view: PlansView },
  { path: '/webhooks', view: WebhooksView },
  { path: '/webhooks/:id', view: DeliveriesView },
  { path: '/books', view: BooksView },
  { path: '/audit', view: AuditView },
  { path: '/settings', view: SettingsView },
  { path: '/admins', view: AdminsView },
  { path: '/account', view: AccountView },
];

function listNavigation(): readonly NavEntry[] {
  return [
    { path: '/', label: t('admin.nav.overview') },
    { path: '/devices', label: t('admin.nav.devices') },
    { path: '/people', label: t('admin.nav.people') },
    { path: '/invitations', label: t('admin.nav.invitations') },
    { path: '/usage', label: t('admin.nav.usage') },
    { path: '/prices', label: t('admin.nav.prices') },
    { path: '/budget', label: t('admin.nav.budget') },
    { path: '/plans', label: t('admin.nav.plans') },
    { path: '/webhooks', label: t('admin.nav.webhooks') },
    { path: '/books', label: t('admin.nav.books') },
    { path: '/audit', label: t('admin.nav.audit') },
    { path: '/settings', label: t('admin.nav.settings') },
    ...(isOwner.value ? [{ path: '/admins', label: t('admin.nav.admins') }] : []),
    { path: '/account', label: t('admin.nav.account') },
  ];
}

function Account() {
  const leave = useAction(() => signOut());
  return (
    <>
      <a class="address" href={toHref('/account')}>
        {me.value?.username ?? t('admin.nav.account')}
      </a>
      <Button busy={leave.busy} onClick={() => void leave.run()}>
        {t('admin.signOut')}
      </Button>
    </>
  );
}

/** Shows the console of admins: what they sign in with, or its views. */
export function Console() {
  const session = current.value;
  const load = useAction(loadMe);
  useEffect(() => {
    if (session !== undefined) void load.run();
  }, [session]);
  if (session === undefined) {
    return (
      <Shell home="./">
        <SignIn />
      </Shell>
    );
  }
  if (session.second_factor_missing) {
    return (
      <Shell home="admin" account={<Account />}>
        <MissingSecondFactor />
      </Shell>
    );
  }
  return (
    <Shell home="admin" nav={listNavigation()} account={<Account />}>
      <ChangesStrip />
      <Views entries={VIEWS} />
    </Shell>
  );
}
