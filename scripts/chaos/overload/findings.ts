/** What was measured, in lines to be printed, and what must not have been. */
export interface Findings {
  readonly lines: readonly string[];
  readonly violations: readonly string[];
}
