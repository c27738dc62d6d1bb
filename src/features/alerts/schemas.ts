import { Type } from '@sinclair/typebox';
import { EmailSchema } from '../../auth/email.js';
import { NextCursor } from '../../platform/http/pagination.js';

const Thresholds = (description: string) =>
  Type.Array(Type.Integer({ minimum: 1, maximum: 100 }), { maxItems: 10, uniqueItems: true, description });

const ALERTS = {
  device_thresholds: Thresholds(
    "Percent of a device's tokens in a budget period at which is warned; [80, 100] at first.",
  ),
  user_thresholds: Thresholds('Percent of what a person had when tokens last came in.'),
  pool_thresholds: Thresholds('Percent of a pool that is handed out.'),
  mail_people: Type.Boolean({ description: 'Whether people are mailed about their own balance and their devices.' }),
};

export const AlertsSchema = Type.Object({
  ...ALERTS,
  mail_to: Type.Array(Type.String(), { description: 'Addresses that are mailed about all of them.' }),
  updated_at: Type.String(),
});

export const ChangeAlertsSchema = Type.Partial(
  Type.Object({ ...ALERTS, mail_to: Type.Array(EmailSchema, { maxItems: 10, uniqueItems: true }) }),
  { additionalProperties: false, minProperties: 1 },
);

const Count = Type.Optional(Type.Integer());
const RecentAlertSchema = Type.Object(
  {
    id: Type.Integer(),
    type: Type.String({ examples: ['balance.threshold', 'balance.exhausted', 'ledger.discrepancy'] }),
    occurred_at: Type.String(),
    name: Type.Union([Type.String({ description: 'Of the device or account.' }), Type.Null()]),
    data: Type.Object(
      {
        subject_kind: Type.Optional(Type.String({ examples: ['device', 'user', 'pool'] })),
        subject_id: Type.Optional(Type.String()),
        pool: Type.Optional(Type.String()),
        threshold: Count,
        allocated: Count,
        used: Count,
        total: Count,
        remaining: Count,
      },
      { description: 'The particulars, as webhooks get them.' },
    ),
  },
  { title: 'RecentAlert' },
);
export const RecentAlertListSchema = Type.Array(RecentAlertSchema);
export const RecentAlertsSchema = Type.Object({ alerts: RecentAlertListSchema, next_cursor: NextCursor });
