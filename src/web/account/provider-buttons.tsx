import { Button } from '../foundation/components/button.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { t } from '../foundation/text/text.js';
import type { Provider, SignInOptions } from './options.js';
import { beginSignIn } from './provider-sign-in.js';

/** Shows a button for each service people may sign in with; nothing where there is none. */
export function ProviderButtons({
  options,
  providers = options.providers,
}: {
  readonly options: SignInOptions;
  readonly providers?: readonly Provider[];
}) {
  const begin = useAction((provider: Provider) => beginSignIn(provider, options));
  if (providers.length === 0) return null;
  return (
    <div class="stack">
      {providers.map((provider) => (
        <Button key={provider} wide busy={begin.busy} onClick={() => void begin.run(provider)}>
          {t(`account.continueWith.${provider}`)}
        </Button>
      ))}
    </div>
  );
}

/** Separates the buttons from the form that does the same. */
export function Or() {
  return <p class="or">{t('account.or')}</p>;
}
