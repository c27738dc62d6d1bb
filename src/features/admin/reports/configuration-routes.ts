import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { ConfigurationOverview } from '../../../config/overview.js';
import { AnyResult, type Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';

const NullableText = (description: string) => Type.Union([Type.String(), Type.Null()], { description });

const ConfigurationSchema = Type.Object({
  capabilities: Type.Array(
    Type.Object({
      name: Type.String({ examples: ['chat'] }),
      on: Type.Boolean(),
      missing: Type.Array(Type.String(), { description: 'The variables without which it is off.' }),
    }),
  ),
  sections: Type.Array(
    Type.Object({
      name: Type.String(),
      settings: Type.Array(
        Type.Object({
          name: Type.String({ description: 'The environment variable.' }),
          description: Type.String(),
          set: Type.Boolean({ description: 'Whether it is set; otherwise the value is its default.' }),
          value: NullableText('What holds; null where nothing does, or where it is not shown as it may be a secret.'),
          hidden: Type.Boolean({ description: 'Whether a value is set that is not shown.' }),
        }),
      ),
    }),
  ),
});

interface ConfigurationRoutesOptions {
  readonly database: Database;
  readonly overview: ConfigurationOverview;
}

/** Serves what this server is set up to do, without secrets; the scope it is registered in must require an admin. */
export const configurationRoutes: FastifyPluginAsyncTypebox<ConfigurationRoutesOptions> = async (
  app,
  { database, overview },
) => {
  describeRoutes(app, { tags: ['Admin: reports'] });
  const answer = {
    capabilities: overview.capabilities.map((capability) => ({ ...capability, missing: [...capability.missing] })),
    sections: overview.sections.map(({ name, settings }) => ({ name, settings: [...settings] })),
  };

  app.get(
    '/admin/configuration',
    {
      schema: {
        operationId: 'getConfiguration',
        summary: 'Read the settings of this server without secrets: what is on, and why the rest is off',
        response: { 200: ConfigurationSchema },
      },
    },
    async (request) => {
      // Whether the session goes on is SQL's to tell.
      await database.call('get_own_admin', { p_actor: getActor(request) }, AnyResult);
      return answer;
    },
  );
};
