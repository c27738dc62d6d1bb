import { Button } from '../foundation/components/button.js';
import { Form } from '../foundation/components/form.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { AnyCodeField, useCode } from '../foundation/second-factor/code-field.js';
import { finishSignIn } from '../foundation/session/person-session.js';
import { t } from '../foundation/text/text.js';

/** Asks for the code of the second factor, with which a sign-in that was begun opens the session. */
export function SecondStep({
  challenge,
  onSignedIn,
  onRestart,
}: {
  /** What the sign-in waits with. */
  readonly challenge: string;
  readonly onSignedIn?: (() => void) | undefined;
  readonly onRestart: () => void;
}) {
  const code = useCode();
  const action = useAction(async () => {
    await finishSignIn(challenge, code.value);
    onSignedIn?.();
  });
  return (
    <>
      <p>{t('secondFactor.stepLead')}</p>
      <Form
        action={action}
        submit={t('account.signIn')}
        check={code.check}
        wide
        focus
        more={
          <Button wide onClick={onRestart}>
            {t('secondFactor.restart')}
          </Button>
        }
      >
        <AnyCodeField code={code} />
      </Form>
      <p class="hint">{t('secondFactor.lost')}</p>
    </>
  );
}
