/** Test files, or folders of them, that together touch every capability and take less than a minute. */
export const FAST_TESTS: readonly string[] = ['test/platform/http/cors.test.ts'];
