import { Button } from '../../foundation/components/button.js';
import { t } from '../../foundation/text/text.js';

/** Shows the buttons that change and remove a row. @param name of the row, for screen readers */
export function RowActions({
  name,
  onChange,
  onRemove,
}: {
  readonly name: string;
  readonly onChange: () => void;
  readonly onRemove?: () => void;
}) {
  return (
    <>
      <Button label={t('admin.list.changeLabel', { name })} onClick={onChange}>
        {t('admin.list.change')}
      </Button>
      {onRemove !== undefined && (
        <Button label={t('admin.list.removeLabel', { name })} onClick={onRemove}>
          {t('admin.list.remove')}
        </Button>
      )}
    </>
  );
}
