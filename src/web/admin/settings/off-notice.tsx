import { Notice } from '../../foundation/components/notice.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { toHref } from '../../foundation/router/router.js';
import { findText, t } from '../../foundation/text/text.js';
import { type Capability, loadConfiguration } from './configuration.js';

/** Finds something the server could do but does not; undefined where it does, and until that is known. */
export function useOff(name: string): Capability | undefined {
  const { data } = useLoad(loadConfiguration, []);
  return data?.capabilities.find((capability) => capability.name === name && !capability.on);
}

/** Says that something is off on this server, and which variables are missing; nothing where it is on. */
export function Off({ capability }: { readonly capability: Capability | undefined }) {
  if (capability === undefined) return null;
  const { name, missing } = capability;
  const named = { name: findText(`admin.settings.names.${name}`) ?? name, variables: missing.join(', ') };
  return (
    <Notice>
      <p>
        {t('admin.settings.isOff', named)} <a href={toHref('/settings')}>{t('admin.settings.more')}</a>
      </p>
    </Notice>
  );
}

/** Asks whether what a view is about is off on this server, and says so. */
export function OffNotice({ name }: { readonly name: 'chat' | 'mail' | 'payments' }) {
  return <Off capability={useOff(name)} />;
}
