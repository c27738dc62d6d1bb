import { t } from '../foundation/text/text.js';

/** Leads on to the sign-in, from a page that has nothing else to do. */
export function ToSignIn({ label = t('account.backToSignIn') }: { readonly label?: string }) {
  return (
    <p class="ways">
      <a href="dashboard">{label}</a>
    </p>
  );
}
