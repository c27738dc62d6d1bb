import { Type } from '@sinclair/typebox';
import { Overload } from './overload.js';

/** The variables about HTTP. */
export const Http = {
  HOST: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Address to listen on. Without it 127.0.0.1; 0.0.0.0, which is every interface, on Heroku, Railway, Render, Fly.io, Cloud Run and Kubernetes.',
    }),
  ),
  PORT: Type.Integer({
    default: 3000,
    minimum: 0,
    maximum: 65535,
    description: 'Port to listen on; 0 picks a free one.',
  }),
  PUBLIC_URL: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description: 'Address clients reach the server at; mails, sign-ins and the documentation name it.',
    }),
  ),
  TRUST_PROXY: Type.String({
    default: 'loopback',
    description: 'Proxies whose X-Forwarded-For is believed: addresses, ranges or loopback; false for none.',
  }),
  CORS_ORIGINS: Type.String({
    default: '*',
    description:
      'Origins browsers may call from, such as https://app.example.com, separated by commas; moz-extension://*, chrome-extension://* and safari-web-extension://* for all such extensions; * for all.',
  }),
  LOG_LEVEL: Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', description: 'trace, debug, info, warn, error, fatal or silent.' },
  ),
  ...Overload,
};
