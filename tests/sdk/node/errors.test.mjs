// What the official Node SDK throws when the gateway refuses or cannot answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

import { client, restricted, stranger } from './support.mjs';

/** Asks, and returns the error after checking what all have in common. */
async function errorOf(expected, from, request) {
  const messages = [{ role: 'user', content: 'Hello' }];
  const error = await from.chat.completions.create({ model: 'chat', messages, ...request }).then(
    () => assert.fail('the request succeeded'),
    (error) => error,
  );
  // The SDK picks a class by status; a subclass would be another status.
  assert.equal(error.constructor, expected, error);
  assert(error.requestID);
  for (const member of ['message', 'type', 'param', 'code']) assert(member in error.error, member);
  return error;
}

test('an unknown token is an authentication error', async () => {
  assert.equal((await errorOf(OpenAI.AuthenticationError, stranger)).code, 'invalid_api_key');
});

test('an unknown token may not list models', async () => {
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test('a forbidden model is a permission error', async () => {
  const error = await errorOf(OpenAI.PermissionDeniedError, restricted, { model: 'paced' });

  assert.equal(error.code, 'model_access_denied');
});

test('a restricted user does not learn which models exist', async () => {
  const error = await errorOf(OpenAI.PermissionDeniedError, restricted, { model: 'no-such-model' });

  assert.equal(error.code, 'model_access_denied');
});

test('an unknown model cannot be retrieved', async () => {
  await assert.rejects(client.models.retrieve('no-such-model'), OpenAI.NotFoundError);
});

test('an unknown backend is not found', async () => {
  assert.equal((await errorOf(OpenAI.NotFoundError, client, { backend: 'nobody' })).code, 'backend_not_found');
});

test('a malformed request is a bad request', async () => {
  assert.equal((await errorOf(OpenAI.BadRequestError, client, { stream: 'perhaps' })).param, 'stream');
});

for (const stream of [false, true]) {
  const mode = stream ? 'streamed' : 'whole';

  test(`an unknown model is not found (${mode})`, async () => {
    const error = await errorOf(OpenAI.NotFoundError, client, { model: 'no-such-model', stream });

    assert.equal(error.code, 'model_not_found');
  });

  test(`a limited provider is a rate limit error (${mode})`, async () => {
    const model = stream ? 'limited-stream' : 'limited';
    const error = await errorOf(OpenAI.RateLimitError, client, { model, stream });

    assert(Number(error.headers.get('retry-after')) >= 1);
  });

  test(`a request the provider rejects is a bad request (${mode})`, async () => {
    await errorOf(OpenAI.BadRequestError, client, { model: 'strict', stream });
  });

  test(`a failing provider is a server error (${mode})`, async () => {
    const error = await errorOf(OpenAI.InternalServerError, client, { model: 'broken', stream });

    // Once its breaker is open there is nobody to ask: 503.
    assert([502, 503].includes(error.status), error.status);
  });
}
