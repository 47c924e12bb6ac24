// The three benchmark programs of the npm original, crud, queries and reactive:
// its operations on its records, so often as it does them. Prints JSON lines.
import { Store } from '@hamicek/noex-store';

const print = (line, us) => console.log(JSON.stringify({ line, us: Number(us.toFixed(3)) }));

const start = (name) => Store.start({ name, ttlCheckIntervalMs: 0 });

// perRun returns the µs of one of n runs of fn, which gets the number of the run.
async function perRun(n, fn) {
  const begin = performance.now();
  for (let i = 0; i < n; i++) await fn(i);
  return ((performance.now() - begin) * 1000) / n;
}

const id = { type: 'string', generated: 'uuid' };
const name = { type: 'string', required: true };

async function crud() {
  const n = 10_000;
  const store = await start('crud');
  await store.defineBucket('items', {
    key: 'id',
    schema: { id, name, value: { type: 'number', default: 0 } },
  });
  const items = store.bucket('items');
  const ids = [];
  print('crud/insert', await perRun(n, async (i) => {
    ids.push((await items.insert({ name: `item-${i}`, value: i })).id);
  }));
  print('crud/get', await perRun(n, (i) => items.get(ids[i])));
  print('crud/update', await perRun(n, (i) => items.update(ids[i], { value: 999 })));
  print('crud/delete', await perRun(n, (i) => items.delete(ids[i])));
  await store.stop();
}

async function queries() {
  const n = 1000;
  const store = await start('queries');
  await store.defineBucket('customers', {
    key: 'id',
    schema: {
      id,
      name,
      tier: { type: 'string', default: 'basic' },
      age: { type: 'number', default: 25 },
    },
    indexes: ['tier'],
  });
  const customers = store.bucket('customers');
  let key;
  for (let i = 0; i < n; i++) {
    const tier = ['vip', 'silver', 'basic'][i % 3];
    const record = await customers.insert({ name: `customer-${i}`, tier, age: 20 + (i % 50) });
    if (i === n / 2) key = record.id;
  }
  const lines = {
    'where-indexed': () => customers.where({ tier: 'vip' }),
    'findone-indexed': () => customers.findOne({ tier: 'vip' }),
    'count-indexed': () => customers.count({ tier: 'silver' }),
    'where-unindexed': () => customers.where({ age: 30 }),
    'findone-unindexed': () => customers.findOne({ age: 30 }),
    'count-unindexed': () => customers.count({ age: 30 }),
    all: () => customers.all(),
    get: () => customers.get(key),
    'first-10': () => customers.first(10),
    'last-10': () => customers.last(10),
    count: () => customers.count(),
    sum: () => customers.sum('age'),
    avg: () => customers.avg('age'),
    min: () => customers.min('age'),
    max: () => customers.max('age'),
  };
  for (const [line, fn] of Object.entries(lines)) {
    await perRun(10, fn); // for the compiler
    print(`queries/${line}`, await perRun(1000, fn));
  }
  await store.stop();
}

// subscribed starts a store with the given number of subscriptions to all items.
async function subscribed(subscriptions, callback) {
  const store = await start(`reactive-${subscriptions}`);
  await store.defineBucket('items', { key: 'id', schema: { id, name } });
  for (let i = 0; i < subscriptions; i++) {
    store.defineQuery(`all-${i}`, (ctx) => ctx.bucket('items').all());
    await store.subscribe(`all-${i}`, callback);
  }
  await store.settle();
  return store;
}

async function reactive() {
  const n = 500;
  let called = 0;
  let store = await subscribed(1, () => { called = performance.now(); });
  const latencies = [];
  for (let i = 0; i < n; i++) {
    called = 0;
    const begin = performance.now();
    await store.bucket('items').insert({ name: `item-${i}` });
    await store.settle();
    if (called > 0) latencies.push((called - begin) * 1000);
  }
  await store.stop();
  latencies.sort((a, b) => a - b);
  for (const p of [50, 95, 99]) {
    print(`reactive/insert-to-subscriber-p${p}`, latencies[Math.ceil((p / 100) * latencies.length) - 1]);
  }
  for (const subscriptions of [0, 1, 10]) {
    store = await subscribed(subscriptions, () => {});
    const items = store.bucket('items');
    print(`reactive/insert-and-settle-${subscriptions}`, await perRun(n, async (i) => {
      await items.insert({ name: `item-${i}` });
      if (subscriptions > 0) await store.settle();
    }));
    await store.stop();
  }
}

await crud();
await queries();
await reactive();
