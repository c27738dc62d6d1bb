/**
 * Lists the routes whose bodies the five published contracts define: their clients may send more than we know. Those of
 * `/usage` and `/chat/stream` are read in their features.
 */
export const PUBLISHED_ROUTES: ReadonlySet<string> = new Set([
  'POST /auth/register',
  'POST /auth/login',
  'POST /auth/logout',
  'POST /auth/refresh',
  'POST /auth/forgot-password',
  'POST /auth/reset-password',
  'POST /auth/google',
  'POST /signup',
  'POST /trackUsage',
  'POST /devices/register',
  'POST /devices/check-can-use',
  'POST /devices/:id/usage',
  'POST /usage/log',
  'POST /admin/login',
  'POST /admin/allocate',
  'POST /admin/block-device',
  'POST /admin/reset-monthly',
  'PUT /users/me',
  'PUT /users/me/settings',
  'PUT /sync/settings',
  'POST /sync/push',
  'POST /subscriptions',
  'PUT /subscriptions',
]);
