import type { FastifyPluginAsync } from 'fastify';
import { requireAdmin } from '../../auth/guards/admin-guard.js';
import type { SignUp } from '../../auth/sign-up/sign-up.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { adminRoutes } from './admins/admin-routes.js';
import { allocationRoutes } from './budget/allocation-routes.js';
import { budgetRoutes } from './budget/budget-routes.js';
import { modelCostRoutes } from './budget/model-cost-routes.js';
import { modelWeightRoutes } from './budget/model-weight-routes.js';
import { periodRoutes } from './budget/period-routes.js';
import { undoRoutes } from './budget/undo-routes.js';
import { bulkChangeRoutes } from './bulk/bulk-change-routes.js';
import { bulkRoutes } from './bulk/bulk-routes.js';
import { deviceListRoutes } from './devices/device-list-routes.js';
import { managedDeviceRoutes } from './devices/device-routes.js';
import { invitationRoutes } from './invitations/invitation-routes.js';
import { planRoutes } from './plans/plan-routes.js';
import { auditRoutes } from './reports/audit-routes.js';
import { configurationRoutes } from './reports/configuration-routes.js';
import { dashboardRoutes } from './reports/dashboard-routes.js';
import { ledgerRoutes } from './reports/ledger-routes.js';
import { mailRoutes } from './reports/mail-routes.js';
import { overviewRoutes } from './reports/overview-routes.js';
import { sealedMonthRoutes } from './reports/sealed-month-routes.js';
import { loginRoutes } from './session/login-routes.js';
import { ownAccountRoutes } from './session/own-account-routes.js';
import { secondFactorRoutes } from './session/second-factor-routes.js';
import { accountRoutes } from './users/account-routes.js';
import { accountSecondFactorRoutes } from './users/account-second-factor-routes.js';
import { accountViewRoutes } from './users/account-view-routes.js';
import { credentialRoutes } from './users/credential-routes.js';
import { userRoutes } from './users/user-routes.js';
import { verificationRoutes } from './users/verification-routes.js';

/** Dependencies of the admin routes. */
export interface AdminOptions {
  readonly database: Database;
  readonly reads: Reads;
  readonly signUp: SignUp;
  /** Where clients reach the server, for links in mails. */
  readonly publicUrl: string;
  readonly config: Config['admin'];
  /** What admins may read of the configuration. */
  readonly overview: Config['overview'];
}

/** Serves contract 3, the admin's side: everything but the log-in is open to admins only. */
export const admin: FastifyPluginAsync<AdminOptions> = async (
  app,
  { database, reads, signUp, publicUrl, config, overview },
) => {
  const session = { database, isSecondFactorRequired: config.secondFactor === 'required' };
  await app.register(loginRoutes, session);
  await app.register(async (scope) => {
    requireAdmin(scope);
    await scope.register(ownAccountRoutes, session);
    await scope.register(secondFactorRoutes, session);
    await scope.register(adminRoutes, { database });
    await scope.register(allocationRoutes, { database });
    await scope.register(budgetRoutes, { database });
    await scope.register(periodRoutes, { database, reads });
    await scope.register(modelCostRoutes, { database });
    await scope.register(modelWeightRoutes, { database });
    await scope.register(undoRoutes, { database });
    await scope.register(planRoutes, { database });
    await scope.register(bulkRoutes, { database });
    await scope.register(bulkChangeRoutes, { database });
    await scope.register(deviceListRoutes, { database, reads });
    await scope.register(managedDeviceRoutes, { database });
    await scope.register(dashboardRoutes, { reads });
    await scope.register(overviewRoutes, { reads });
    await scope.register(configurationRoutes, { database, overview });
    await scope.register(ledgerRoutes, { database });
    await scope.register(mailRoutes, { database });
    await scope.register(sealedMonthRoutes, { database });
    await scope.register(auditRoutes, { database });
    await scope.register(userRoutes, { database, defaultUserTokens: signUp.defaultTokens });
    await scope.register(accountViewRoutes, { database, reads });
    await scope.register(accountRoutes, { database });
    await scope.register(accountSecondFactorRoutes, { database, publicUrl });
    await scope.register(credentialRoutes, { database });
    await scope.register(verificationRoutes, { database, signUp });
    await scope.register(invitationRoutes, { database, publicUrl });
  });
};
