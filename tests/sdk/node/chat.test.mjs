// What the official Node SDK does, through the gateway.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { accessLine, client, collect, restricted } from './support.mjs';

const messages = [{ role: 'user', content: 'Say the magic word: abracadabra' }];
const tools = [
  {
    type: 'function',
    function: {
      name: 'weather',
      description: 'Tells the weather',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string' }, days: { type: 'integer' } },
        required: ['city'],
      },
    },
  },
];

const ask = (request) => client.chat.completions.create({ model: 'chat', messages, ...request });
const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join('');

for (const model of ['chat', 'azure', 'claude', 'gemini']) {
  const ask = (request) => client.chat.completions.create({ model, messages, ...request });

  test(`${model}: a chat is answered`, async () => {
    const completion = await ask();

    assert.match(completion.choices[0].message.content, /abracadabra/);
    assert.equal(completion.choices[0].finish_reason, 'stop');
    assert(completion.usage.total_tokens > 0);
  });

  test(`${model}: a stream arrives in pieces`, async () => {
    const chunks = await collect(await ask({ stream: true }));

    assert(chunks.filter((chunk) => chunk.choices[0].delta.content).length > 3);
    assert.match(textOf(chunks), /abracadabra/);
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  });

  test(`${model}: the streaming helper accumulates the answer`, async () => {
    const completion = await client.chat.completions.stream({ model, messages }).finalChatCompletion();

    assert.match(completion.choices[0].message.content, /abracadabra/);
  });

  test(`${model}: a tool call makes the round trip`, async () => {
    const asked = await ask({ tools });

    const [call] = asked.choices[0].message.tool_calls;
    assert.equal(asked.choices[0].finish_reason, 'tool_calls');
    assert.equal(call.function.name, 'weather');
    assert.equal(typeof JSON.parse(call.function.arguments).city, 'string');

    const result = { role: 'tool', tool_call_id: call.id, content: '21 degrees' };
    const answered = await ask({ messages: [...messages, asked.choices[0].message, result], tools });

    assert.match(answered.choices[0].message.content, /21 degrees/);
  });

  test(`${model}: thinking is shown and goes on after a tool`, async () => {
    const think = async (messages) => (await ask({ messages, tools, reasoning_effort: 'low' })).choices[0].message;

    const asked = await think(messages);
    const result = { role: 'tool', tool_call_id: asked.tool_calls[0].id, content: '21 degrees' };
    const answered = await think([...messages, asked, result]);

    assert.match(answered.content, /21 degrees/);
    if (['claude', 'gemini'].includes(model)) {
      // The simulated providers refuse what was not thought by them, as the real ones do.
      assert.match(asked.reasoning_content, /The user wants something/);
      assert.match(answered.reasoning_content, /The user wants something/);
    }
  });

  test(`${model}: a tool call is streamed in pieces`, async () => {
    const chunks = await collect(await ask({ tools, stream: true }));

    const calls = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
    const pieces = calls.map((call) => call.function.arguments).filter(Boolean);
    assert(calls[0].id);
    assert.equal(calls[0].function.name, 'weather');
    // Gemini sends a call as a whole.
    assert(pieces.length > (model === 'gemini' ? 0 : 1));
    assert.equal(JSON.parse(pieces.join('')).days, 1);
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'tool_calls');
  });

  test(`${model}: usage ends a stream that asks for it`, async () => {
    const chunks = await collect(await ask({ stream: true, stream_options: { include_usage: true } }));

    const last = chunks.pop();
    assert.deepEqual(last.choices, []);
    assert(last.usage.total_tokens > 0);
    assert(chunks.every((chunk) => !chunk.usage));
  });

  test(`${model}: an answer has the structure that was asked for`, async () => {
    const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
    const response_format = { type: 'json_schema', json_schema: { name: 'forecast', strict: true, schema } };
    const completion = await ask({ response_format });

    assert.equal(typeof JSON.parse(completion.choices[0].message.content).city, 'string');
  });

  test(`${model}: a stream that does not ask gets no usage`, async () => {
    const chunks = await collect(await ask({ stream: true }));

    assert(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
  });
}

test('an abort ends the request at once', async () => {
  // At 200 ms a word, the whole answer would take 20 s.
  const long = [{ role: 'user', content: 'word '.repeat(100) }];
  const { data, request_id } = await ask({ model: 'paced', messages: long, stream: true }).withResponse();
  for await (const _ of data) break;

  await accessLine(request_id, 3);
  assert((await ask()).choices.length > 0);
});

test('a failing backend is not noticed', async () => {
  const completion = await ask({ model: 'failover' });

  assert.match(completion.choices[0].message.content, /Hello from good/);
});

test('a failing backend is not noticed in a stream', async () => {
  const chunks = await collect(await ask({ model: 'failover', stream: true }));

  assert.match(textOf(chunks), /Hello from good/);
});

test('a provider is asked for by name', async () => {
  const completion = await ask({ model: 'failover', backend: 'good' });

  assert.match(completion.choices[0].message.content, /Hello from good/);
});

test('the models are listed', async () => {
  const names = (await collect(await client.models.list())).map((model) => model.id);

  assert.deepEqual(names, [
    'azure',
    'broken',
    'chat',
    'claude',
    'failover',
    'gemini',
    'limited',
    'limited-stream',
    'paced',
    'strict',
  ]);
});

test('a model is retrieved', async () => {
  const { id, object, owned_by } = await client.models.retrieve('chat');

  assert.deepEqual([id, object, owned_by], ['chat', 'model', 'berry-api']);
});

test('a restricted user is shown only what it may use', async () => {
  const names = (await collect(await restricted.models.list())).map((model) => model.id);

  assert.deepEqual(names, ['chat']);
});
