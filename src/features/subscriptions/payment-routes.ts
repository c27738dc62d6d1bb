import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import { errors } from '../../platform/http/error-schema.js';
import { PageQuerySchema, paginate, TimePositionSchema } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { findInvoice, type InvoiceServices } from './invoice.js';
import { InvoiceSchema, PaymentParamsSchema, PaymentSchema, PaymentsSchema } from './schemas.js';

const RowsSchema = Type.Array(PaymentSchema);

/** Serves what a person paid and what each payment granted; the scope it is registered in must guard it. */
export const paymentRoutes: FastifyPluginAsyncTypebox<InvoiceServices> = async (app, services) => {
  describeRoutes(app, { tags: ['Subscriptions'] });

  app.get(
    '/subscriptions/payments',
    {
      schema: {
        operationId: 'listPayments',
        summary: 'List what you paid for and the tokens each payment granted, newest first',
        querystring: PageQuerySchema,
        response: { 200: PaymentsSchema },
      },
    },
    async (request) => {
      const { rows: payments, next_cursor } = await paginate(
        request.query,
        TimePositionSchema,
        (p_limit, before) => {
          const place = before && { p_before_at: before.at, p_before_id: before.id };
          return services.callerDatabase.call(getUser(request), 'my_payments', { p_limit, ...place }, RowsSchema);
        },
        ({ paid_at, id }) => ({ at: paid_at, id }),
      );
      return { payments, next_cursor };
    },
  );

  app.get(
    '/subscriptions/payments/:id/invoice',
    {
      schema: {
        operationId: 'getInvoice',
        summary: "Read where Stripe shows a payment's invoice",
        params: PaymentParamsSchema,
        response: { 200: InvoiceSchema, ...errors(404, 409) },
      },
    },
    (request) => findInvoice(services, request, request.params.id),
  );
};
