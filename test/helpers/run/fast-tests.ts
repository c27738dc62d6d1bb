/**
 * Test files, or folders of them, for `npm run test:fast`: the main path of every capability and what guards the tokens,
 * in less than a minute on two cores. Not here: browsers, servers and commands in processes of their own, Postgres stopped
 * or killed, amounts that take long.
 */
export const FAST_TESTS: readonly string[] = [
  'test/auth/api-keys/api-keys.test.ts',
  'test/supabase/catalog.test.ts',
  'test/auth/oauth/codes.test.ts',
  'test/auth/sessions/refresh.test.ts',
  'test/auth/sessions/sessions.test.ts',
  'test/features/admin/records.test.ts',
  'test/features/chat/contract.test.ts',
  'test/features/chat/evidence.test.ts',
  'test/features/chat/expired-holds.test.ts',
  'test/features/devices/concurrency.test.ts',
  'test/features/devices/contract.test.ts',
  'test/features/devices/idempotency.test.ts',
  'test/features/devices/reservations.test.ts',
  'test/features/events/features.test.ts',
  'test/features/settings/document.test.ts',
  'test/features/subscriptions/events.test.ts',
  'test/features/tracker/contract.test.ts',
  'test/features/usage/recording.test.ts',
  'test/features/users/profile.test.ts',
  'test/jobs/maintenance.test.ts',
  'test/metering/batcher.test.ts',
  'test/platform/database/client.test.ts',
  'test/platform/database/direct-functions.test.ts',
  'test/platform/http/openapi.test.ts',
  'test/platform/http/request-id.test.ts',
  'test/platform/mail/outbox.test.ts',
  'test/web/dashboard/forecast.test.ts',
];
