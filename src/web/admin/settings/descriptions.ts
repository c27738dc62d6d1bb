import type { Language } from '../../foundation/text/text.js';

/** What variables are for and how their sections are called, in one language. */
export interface Descriptions {
  readonly sections: Readonly<Record<string, string>>;
  readonly variables: Readonly<Record<string, string>>;
}

/** The server itself describes its variables in English. */
const NONE: Descriptions = { sections: {}, variables: {} };
const LOADERS: Readonly<Partial<Record<Language, () => Promise<{ readonly default: Descriptions }>>>> = {
  de: () => import('./de.json'),
};

/** Loads what variables are for, in a language; what is missing, or does not come, is as the server says it. */
export async function loadDescriptions(language: Language): Promise<Descriptions> {
  const loaded = await LOADERS[language]?.().catch(() => undefined);
  return loaded?.default ?? NONE;
}
