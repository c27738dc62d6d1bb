import { t } from '../../foundation/text/text.js';

/** What the server writes where nobody said it. */
const UNKNOWN = 'unknown';

/** Returns a provider or model as people read it. */
export const nameOf = (name: string): string => (name === UNKNOWN ? t('usage.unknown') : name);

/** Returns a name, or undefined where nobody said it. */
export const knownName = (name: string | undefined): string | undefined => (name === UNKNOWN ? undefined : name);
