import { Meter } from '../../foundation/components/meter.js';
import { Empty } from '../../foundation/components/notice.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';

/** Somebody or something of a ranking. */
export interface Ranked {
  readonly key: string;
  readonly name: string;
  readonly value: number;
  readonly href?: string;
}

/** Shows who or what used most, each with a bar as long as its share of the first. */
export function Ranking({ title, ranked }: { readonly title: string; readonly ranked: readonly Ranked[] }) {
  const most = ranked[0]?.value ?? 0;
  return (
    <Card title={title}>
      {ranked.length === 0 ? (
        <Empty title={t('admin.usage.none')} />
      ) : (
        <ol class="ranking">
          {ranked.map(({ key, name, value, href }) => (
            <li key={key}>
              <span class="name" title={name}>
                {href === undefined ? name : <a href={href}>{name}</a>}
              </span>
              <span class="number">{formatCount(value)}</span>
              <Meter used={value} all={most * 1.2} />
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}
