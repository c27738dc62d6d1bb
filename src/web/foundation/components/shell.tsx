import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { route, toHref } from '../router/router.js';
import { chooseLanguage, LANGUAGES, language, t } from '../text/text.js';
import { chooseTheme, THEMES, theme } from '../theme.js';
import { Select } from './choice.js';
import { announce, Toasts } from './toasts.js';

/** A view that the navigation leads to. */
export interface NavEntry {
  readonly path: string;
  readonly label: string;
}

const isLanguage = (name: string): name is keyof typeof LANGUAGES => Object.hasOwn(LANGUAGES, name);
const languageOptions = Object.entries(LANGUAGES).flatMap(([value, label]) =>
  isLanguage(value) ? [{ value, label }] : [],
);

function Preferences() {
  const [refused, setRefused] = useState(0);
  const choose = async (next: keyof typeof LANGUAGES) => {
    if (await chooseLanguage(next)) return;
    announce(t('common.languageFailed', { language: LANGUAGES[next] }));
    // The list shows the language again that the page still speaks.
    setRefused(refused + 1);
  };
  const themes = THEMES.map((value) => ({ value, label: t(`common.themes.${value}`) }));
  return (
    <div class="preferences">
      <Select
        key={refused}
        quiet
        label={t('common.language')}
        value={language.value}
        options={languageOptions}
        onValue={(next) => void choose(next)}
      />
      <Select quiet label={t('common.theme')} value={theme.value} options={themes} onValue={chooseTheme} />
    </div>
  );
}

/** Whether a path is the entry's, or of a view below it. */
function isCurrent(entry: string, path: string): boolean {
  return entry === '/' ? path === '/' : path === entry || path.startsWith(`${entry}/`);
}

function Nav({ entries }: { readonly entries: readonly NavEntry[] }) {
  const { path } = route.value;
  const [open, setOpen] = useState(false);
  // A view that was chosen closes the menu of a phone, also one that is shown already.
  useEffect(() => setOpen(false), [path]);
  const current = entries.find((entry) => isCurrent(entry.path, path)) ?? entries[0];
  return (
    <nav class={open ? 'nav open' : 'nav'} aria-label={t('common.navigation')}>
      <button
        type="button"
        class="nav-button"
        aria-expanded={open}
        aria-controls="nav-list"
        onClick={() => setOpen(!open)}
      >
        <span class="nav-icon" aria-hidden="true" />
        <span class="hidden">{t('common.menu')}: </span>
        {current?.label}
      </button>
      <ul id="nav-list">
        {entries.map((entry) => (
          <li key={entry.path}>
            <a
              href={toHref(entry.path)}
              aria-current={entry === current ? 'page' : undefined}
              onClick={() => setOpen(false)}
            >
              {entry.label}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** Shows the sign of the server, which is `icon.svg`: part of the page, it is there without a connection too. */
function Sign() {
  return (
    <svg viewBox="0 0 16 16" width="28" height="28" aria-hidden="true">
      <rect width="16" height="16" rx="3" fill="#0b5cad" />
      <path d="M3.5 8.5h2v4h-2zm3.5-5h2v9H7zm3.5 3h2v6h-2z" fill="#fff" />
    </svg>
  );
}

/** Shows what every page has around its views: the name of the server, the navigation where there is one, language and theme. */
export function Shell({
  nav,
  account,
  children,
  home = './',
}: {
  readonly nav?: readonly NavEntry[] | undefined;
  /** Who is signed in, and how to sign out. */
  readonly account?: ComponentChildren;
  readonly children: ComponentChildren;
  /** Where the name of the server leads. */
  readonly home?: string;
}) {
  return (
    <div class={nav === undefined ? 'shell' : 'shell with-nav'}>
      {/* A link to a part of the page would change the view, which is behind the # too. */}
      <button type="button" class="skip" onClick={() => document.querySelector('main')?.focus()}>
        {t('common.skip')}
      </button>
      <header class="top">
        <a class="brand" href={home}>
          <Sign />
          Tokenledger
        </a>
        {account !== undefined && <div class="account">{account}</div>}
      </header>
      {nav !== undefined && <Nav entries={nav} />}
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <footer class="bottom">
        <Preferences />
      </footer>
      <Toasts />
    </div>
  );
}
