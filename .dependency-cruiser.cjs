// Which way imports may point; ARCHITECTURE.md shows the floors. Run by "npm run lint".
const above = (floors) => `^src/(${floors.join('|')})`;
const app = ['app\\.ts', 'front\\.ts', 'server\\.ts', 'workers/'];

/** Forbids a floor to import from the floors above it. */
const floor = (name, floors) => ({
  name: `${name}-imports-nothing-above`,
  comment: `src/${name} is imported by the floors above it and knows nothing of them.`,
  severity: 'error',
  from: { path: `^src/${name}/` },
  to: { path: above(floors) },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Files that import each other cannot be read alone.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    floor('config', ['platform/', 'auth/', 'metering/', 'features/', 'jobs/', 'web/', ...app]),
    floor('platform', ['auth/', 'metering/', 'features/', 'jobs/', 'web/', ...app]),
    floor('auth', ['metering/', 'features/', 'jobs/', 'web/', ...app]),
    floor('metering', ['auth/', 'features/', 'jobs/', 'web/', ...app]),
    floor('features', ['jobs/', 'web/', ...app]),
    floor('jobs', ['features/', 'web/', ...app]),
    {
      name: 'features-keep-to-themselves',
      comment: 'A feature declares what it needs in its plugin options; app.ts hands it over.',
      severity: 'error',
      from: { path: '^src/features/([^/]+)/' },
      to: { path: '^src/features/', pathNot: '^src/features/$1/' },
    },
    {
      name: 'pages-run-in-browsers',
      comment: 'Browser code imports nothing of the server but the types of its answers.',
      severity: 'error',
      from: { path: '^src/web/[^/]+/' },
      to: { path: '^src/', pathNot: '^src/web/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'the-server-is-no-page',
      comment: 'What serves the pages reads what was bundled of them.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/web/[^/]+/' },
      to: { path: '^src/web/[^/]+/' },
    },
    {
      name: 'pages-keep-to-themselves',
      comment: 'What several pages need is in the foundation, which knows none of them.',
      severity: 'error',
      from: { path: '^src/web/([^/]+)/' },
      to: { path: '^src/web/[^/]+/', pathNot: '^src/web/($1|foundation|account)/' },
    },
    {
      name: 'the-client-stands-alone',
      comment: "It runs in other people's extensions: without the server, without packages, without Node.",
      severity: 'error',
      from: { path: '^src/client/' },
      to: { pathNot: '^src/client/' },
    },
    {
      name: 'the-server-is-no-client',
      severity: 'error',
      from: { path: '^(src|scripts)/', pathNot: '^src/client/' },
      to: { path: '^src/client/' },
    },
    {
      name: 'sources-need-no-tests',
      severity: 'error',
      from: { path: '^(src|scripts)/' },
      to: { path: '^test/' },
    },
    {
      name: 'declared-packages-only',
      comment:
        'Runtime code uses dependencies, not devDependencies or what others bring along; pages are bundled. The package for Sentry is an optional peer, installed for the test.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/web/[^/]+/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'undetermined'],
        pathNot: '^node_modules/@sentry/node/',
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
