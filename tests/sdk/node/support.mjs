// The clients that the tests use, and the gateway's log.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import OpenAI from 'openai';

const { BERRY_BASE_URL, BERRY_TOKEN, BERRY_RESTRICTED_TOKEN, BERRY_LOG } = process.env;
assert(BERRY_BASE_URL, 'run these tests through `scripts/run-tests.sh sdk`, which starts the gateway they need');

// No retries: a test asks once and sees what comes.
const connect = (apiKey) => new OpenAI({ baseURL: BERRY_BASE_URL, apiKey, maxRetries: 0, timeout: 30_000 });

/** A client whose user may use every model. */
export const client = connect(BERRY_TOKEN);
/** A client whose user may use the model `chat` alone. */
export const restricted = connect(BERRY_RESTRICTED_TOKEN);
/** A client with a token that nobody has. */
export const stranger = connect('a-token-that-nobody-has');

/** Reads a stream to its end. */
export async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** Waits for the line the gateway logs when the request of this id has ended. */
export async function accessLine(requestId, seconds) {
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    // What follows the last line end is a line that is being written.
    const lines = (await readFile(BERRY_LOG, 'utf8')).split('\n').slice(0, -1);
    const events = lines.map((line) => JSON.parse(line));
    const found = events.find(({ message, fields }) => message === 'Backend selected' && fields.request_id === requestId);
    if (found) return found.fields;
    await sleep(20);
  }
  throw new Error(`request \`${requestId}\` has not ended within ${seconds} s`);
}
