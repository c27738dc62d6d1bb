import type { Static } from '@sinclair/typebox';
import type { PendingSecondFactorSchema } from '../../../auth/second-factor/schemas.js';
import { CopyOnce } from '../components/copy-once.js';
import { t } from '../text/text.js';
import { QrCode } from './qr-code.js';

/** A second factor that is being set up. */
export type PendingFactor = Static<typeof PendingSecondFactorSchema>;

/** Shows what an authenticator app needs: to scan, to type, or to open on the same device. */
export function EnrolmentSecret({ pending }: { readonly pending: PendingFactor }) {
  return (
    <div class="stack">
      <p>{t('secondFactor.scan')}</p>
      <QrCode text={pending.uri} label={t('secondFactor.qr')} />
      <CopyOnce label={t('secondFactor.secret')} secret={pending.secret} />
      <p>
        <a href={pending.uri}>{t('secondFactor.openApp')}</a>
      </p>
    </div>
  );
}
