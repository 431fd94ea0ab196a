// node-redis against the server at the port that is given, with its client-side cache.
import assert from 'node:assert/strict';
import { createClient } from 'redis';

const url = `redis://127.0.0.1:${process.argv[2]}`;
const plain = await createClient({ url }).connect();
assert.equal(await plain.set('nr:a', 'b', { EX: 100 }), 'OK');
assert.equal(await plain.get('nr:a'), 'b');
assert.equal(await plain.getDel('nr:a'), 'b');
assert.deepEqual(await plain.mGet(['nr:a']), [null]);
assert.deepEqual(await plain.multi().set('nr:n', '1').incr('nr:n').exec(), ['OK', 2]);
const subscriber = await plain.duplicate().connect();
const message = new Promise((resolve) => { subscriber.subscribe('nr:channel', resolve); });
while ((await plain.publish('nr:channel', 'hello')) === 0);
assert.equal(await message, 'hello');

const cached = await createClient({
  url, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: 'LRU' },
}).connect();
await plain.set('nr:cached', 'one');
assert.equal(await cached.get('nr:cached'), 'one');
assert.equal(await cached.get('nr:cached'), 'one');
await plain.set('nr:cached', 'two');
let value;
const end = Date.now() + 5000;
do {
  await new Promise(setImmediate); // an answer from the client's own cache lets no socket be read
  value = await cached.get('nr:cached');
} while (value !== 'two' && Date.now() < end);
assert.equal(value, 'two', 'the change was not told');
for (const client of [cached, subscriber, plain]) client.destroy();
