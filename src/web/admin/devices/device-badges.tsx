import { Badge } from '../../foundation/components/notice.js';
import { t } from '../../foundation/text/text.js';

/** Shows in words how a device stands. */
export function DeviceBadges({
  device,
}: {
  readonly device: { readonly blocked: boolean; readonly remaining: number; readonly allocated: number };
}) {
  const { blocked, remaining, allocated } = device;
  if (blocked) return <Badge tone="bad">{t('admin.devices.blocked')}</Badge>;
  if (remaining === 0) return <Badge tone="warning">{t('admin.balance.empty')}</Badge>;
  if (remaining * 10 <= allocated) return <Badge tone="warning">{t('admin.balance.nearLimit')}</Badge>;
  return null;
}
