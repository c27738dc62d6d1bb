import { Card } from '../../foundation/components/view.js';
import { toHref } from '../../foundation/router/router.js';
import { rich, t } from '../../foundation/text/text.js';

/** What brings a new server to life, and where it is done. */
const STEPS = [
  ['devices', 'docs'],
  ['people', toHref('/people')],
  ['settings', toHref('/settings')],
] as const;

/** Says what to do first on a server that nobody uses yet. */
export function FirstSteps() {
  return (
    <Card title={t('admin.overview.first.title')}>
      <ol class="steps">
        {STEPS.map(([name, href]) => (
          <li key={name}>
            {rich(`admin.overview.first.${name}`, {
              link: <a href={href}>{t(`admin.overview.first.${name}Link`)}</a>,
            })}
          </li>
        ))}
      </ol>
    </Card>
  );
}
