import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openChatServer } from '../../helpers/chat.js';
import { openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import t from '../../helpers/run/tap.js';

const run = promisify(execFile);
const google = await openGoogleTokens(t);
const server = await openChatServer(t, { environment: { ...google.environment, DEFAULT_USER_TOKENS: '1000' } });
const admin = await logInAsAdmin(server);
const url = await server.listen();

/** Puts this server and a person's token into a published sample, which is otherwise as it stands. */
const fill = (sample: string, token: string) =>
  sample.replace('http://localhost:8000', url).replace('ya29.a0AfB_byC...', token);
const runNode = (sample: string, token: string) =>
  run(process.execPath, ['--input-type=module', '-e', fill(sample, token)]);
const runPython = (sample: string, token: string) => run('python3', ['-c', fill(sample, token)]);
const hasModule = (name: string) => spawnSync('python3', ['-c', `import ${name}`], { stdio: 'ignore' }).status === 0;
const skipWithout = (name: string) => !hasModule(name) && `Python has no module ${name} here`;

const USER = { name: 'John Doe', total_tokens: 1_000, tokens_used: 20, tokens_left: 980 };

const SIGN_IN = `const response = await fetch('http://localhost:8000/api/auth/google', {
  method: 'POST',
  headers: {
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    access_token: 'ya29.a0AfB_byC...'
  })
});

const user = await response.json();
console.log(user);
`;

const STREAM = `const response = await fetch('http://localhost:8000/api/chat/stream', {
  method: 'POST',
  headers: {
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    access_token: 'ya29.a0AfB_byC...',
    messages: [
      { role: 'user', content: 'Hello!' }
    ],
    model: 'openai/gpt-4',
    temperature: 0.7
  })
});

const reader = response.body.getReader();
const decoder = new TextDecoder();

while (true) {
  const { done, value } = await reader.read();
  if (done) break;

  const chunk = decoder.decode(value);
  const lines = chunk.split('\\n');

  for (const line of lines) {
    if (line.startsWith('data: ')) {
      const data = line.slice(6);

      if (data === '[DONE]') {
        console.log('Stream finished');
        break;
      }

      try {
        const json = JSON.parse(data);
        const content = json.choices[0]?.delta?.content;
        if (content) {
          process.stdout.write(content);
        }
      } catch (e) {
        // Skip invalid JSON
      }
    }
  }
}
`;

const PYTHON_SIGN_IN = `import requests

response = requests.post(
    'http://localhost:8000/api/auth/google',
    json={'access_token': 'ya29.a0AfB_byC...'}
)

user = response.json()
print(user)
`;

const PYTHON_REQUESTS = `import requests
import json

url = 'http://localhost:8000/api/chat/stream'

payload = {
    'access_token': 'ya29.a0AfB_byC...',
    'messages': [
        {'role': 'user', 'content': 'Hello!'}
    ],
    'model': 'openai/gpt-4'
}

response = requests.post(url, json=payload, stream=True)

for line in response.iter_lines():
    if line:
        line = line.decode('utf-8')
        if line.startswith('data: '):
            data_str = line[6:]

            if data_str.strip() == '[DONE]':
                print('\\nStream finished')
                break

            try:
                data = json.loads(data_str)
                content = data['choices'][0]['delta'].get('content', '')
                if content:
                    print(content, end='', flush=True)
            except:
                pass
`;

const PYTHON_HTTPX = `import httpx
import json

async def stream_chat():
    url = 'http://localhost:8000/api/chat/stream'

    payload = {
        'access_token': 'ya29.a0AfB_byC...',
        'messages': [
            {'role': 'user', 'content': 'Hello!'}
        ],
        'model': 'openai/gpt-4',
        'temperature': 0.7
    }

    async with httpx.AsyncClient() as client:
        async with client.stream('POST', url, json=payload) as response:
            async for line in response.aiter_lines():
                if line.startswith('data: '):
                    data_str = line[6:]

                    if data_str.strip() == '[DONE]':
                        print('\\nStream finished')
                        break

                    try:
                        data = json.loads(data_str)
                        content = data['choices'][0]['delta'].get('content', '')
                        if content:
                            print(content, end='', flush=True)
                    except:
                        pass

# Run
import asyncio
asyncio.run(stream_chat())
`;

t.test("the contract's JavaScript sample signs in and streams, and shows who was debited", async (t) => {
  const token = google.issue();
  t.match((await runNode(STREAM, token)).stdout, /^Hello!\s*Stream finished\n$/);
  // The sample prints the object; JSON has the same members.
  const { stdout } = await runNode(SIGN_IN.replace('console.log(user)', 'console.log(JSON.stringify(user))'), token);
  t.match(JSON.parse(stdout), USER);
  t.strictSame(Object.keys(JSON.parse(stdout)), [
    ...['id', 'email', 'name', 'picture', 'total_tokens', 'tokens_used', 'tokens_left'],
  ]);
  await server.verifyLedger(t);
});

for (const [name, sample] of Object.entries({ requests: PYTHON_REQUESTS, httpx: PYTHON_HTTPX })) {
  t.test(`its Python sample does so with ${name}`, { skip: skipWithout(name) }, async (t) => {
    const token = google.issue();
    t.match((await runPython(sample, token)).stdout, /^Hello!\s*Stream finished\n$/);
    if (!hasModule('requests')) return;
    const { stdout } = await runPython(PYTHON_SIGN_IN, token);
    t.match(stdout, /'name': 'John Doe'.*'tokens_left': 980/);
  });
}

t.test('everybody has a name, and updated_at moves with use', async (t) => {
  const token = google.issue({ email: 'grace.hopper@example.com' }, { name: undefined });
  const { stdout } = await runNode(SIGN_IN.replace('console.log(user)', 'console.log(user.name[0])'), token);
  t.equal(stdout, 'g\n');
  const find = async () => {
    const { users } = (await admin.as('GET', '/api/users?q=grace')).json<{
      users: { id: string; name: string; created_at: string; updated_at: string }[];
    }>();
    return users[0];
  };
  const before = await find();
  t.match(before, { id: /^[0-9a-f-]{36}$/, name: 'grace.hopper' });
  await runNode(STREAM, token);
  const after = await find();
  t.ok(Date.parse(after?.updated_at ?? '') > Date.parse(before?.updated_at ?? ''), 'it has changed');
  t.ok(Date.parse(after?.updated_at ?? '') > Date.parse(after?.created_at ?? ''));
});

t.end();
