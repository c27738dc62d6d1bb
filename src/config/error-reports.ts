import { Type } from '@sinclair/typebox';

/** The variables about reporting errors elsewhere. */
export const ErrorReports = {
  SENTRY_DSN: Type.Optional(
    Type.String({
      // What Sentry's package would not take it prints, key and all.
      pattern: '^https?://\\w+(:\\w*)?@[\\w.-]+(:[0-9]{1,5})?/([\\w.-]+/)*[0-9]+$',
      description:
        'DSN of a project at Sentry, which is told of unforeseen errors; needs a package more, see docs/operations.md.',
    }),
  ),
};
