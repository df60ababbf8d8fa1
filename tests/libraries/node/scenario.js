// The fixed scenario, for the libraries of npm: node scenario.js LIBRARY PROTOCOL PORT
//
// Prints one line per step: its name, and what the library made of the answer. A step that a library has no call for is
// left out. NODE_PATH says where the libraries are.
'use strict';

const crypto = require('crypto');

const [library, , port] = process.argv.slice(2);
const ADDRESS = '127.0.0.1:' + port;
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const TREACHEROUS = Buffer.from('x\r\nEND\r\nVALUE k 0 1\r\nHD\r\n\x80\x81\x00', 'latin1');
const TOO_LARGE = crypto.createHash('md5').digest().toString('hex').repeat(1 << 15);

function digest(data) {
  return crypto.createHash('md5').update(data).digest('hex').slice(0, 8);
}

// A result in one line.
function shown(value) {
  if (value instanceof Error) return `${value.constructor.name}: ${value.message}`;
  if (Buffer.isBuffer(value)) {
    return value.length <= 40 ? `bytes ${value.toString('latin1').replace(/[^ -~]/g, '.')}` : `${value.length} bytes, ${digest(value)}`;
  }
  if (typeof value === 'string') return value.length <= 200 ? JSON.stringify(value) : `text of ${value.length}, ${digest(value)}`;
  if (Array.isArray(value)) {
    const text = `[${value.map(shown).join(', ')}]`;
    return text.length <= 600 ? text : `${value.length} items, ${digest(text)}`;
  }
  if (value && typeof value === 'object') {
    const words = Object.keys(value).sort().map((key) => `${key} = ${shown(value[key])}`);
    const text = `{${words.join(', ')}}`;
    return text.length <= 600 ? text : `${words.length} items, ${digest(text)}`;
  }
  return String(value);
}

async function step(name, call) {
  let value;
  try {
    value = await call();
  } catch (error) {
    value = error;
  }
  console.log(`${name}: ${shown(value)}`);
  return value;
}

// The part of the statistics that is the same each time.
function statistics(found) {
  const counted = ['curr_items', 'total_items', 'cmd_set'].map((name) => `${name} ${found[name]}`);
  return counted.concat(['pid', 'uptime', 'version', 'bytes', 'get_hits'].filter((name) => !(name in found)));
}

function later(seconds) {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}

// Steps that both libraries have, by adapters with the same calls.
async function common(make) {
  let client = make();
  for (let number = 0; number < 10; number++) await client.set('ten' + number, 'v', 0);
  await step('statistics after ten', () => client.statistics());
  await step('get nothing', () => client.get('nothing'));
  for (const [name, value] of [['empty', ''], ['text', 'schlüssel'], ['all bytes', ALL_BYTES], ['treacherous', TREACHEROUS],
    ['64k', Buffer.alloc(65536, 'k')], ['large', Buffer.alloc(1000000, 'l')]]) {
    await step(`set ${name}`, () => client.set('value', value, 0));
    await step(`get ${name}`, () => client.get('value'));
  }
  for (const [name, key] of [['1', 'k'], ['250', 'l'.repeat(250)], ['utf-8', 'schlüssel'], ['251', 'm'.repeat(251)], ['blank', 'n o']]) {
    client = make();
    await step(`set key ${name}`, () => client.set(key, 'of ' + name, 0));
    if (!client.silent.includes(name)) await step(`get key ${name}`, () => client.get(key));
  }
  client = make();
  await step('set too large', () => client.set('value', TOO_LARGE, 0));
  client = make();
  await step('get after too large', () => client.get('value'));
  await conditions(make());
  client = make();
  await step('at once', () => Promise.all(Array.from({ length: 20 }, async (_, number) => {
    await client.set('many' + number, String(number), 0);
    return client.get('many' + number);
  })));
  await times(client);
}

async function conditions(client) {
  await client.set('a', '1', 0);
  await step('add there', () => client.add('a', '2', 0));
  await step('add', () => client.add('added', '2', 0));
  await step('replace nothing', () => client.replace('nothing', '3', 0));
  await step('replace', () => client.replace('a', '3', 0));
  await step('append', () => client.append('a', '-after'));
  await step('prepend', () => client.prepend('a', 'before-'));
  await step('get longer', () => client.get('a'));
  await step('append nothing', () => client.append('nothing', 'x'));
  await step('prepend nothing', () => client.prepend('nothing', 'x'));
  await step('delete', () => client.delete('added'));
  await step('delete nothing', () => client.delete('added'));
  await client.set('number', '10', 0);
  await step('incr', () => client.incr('number', 5));
  await step('decr', () => client.decr('number', 3));
  await step('decr below nothing', () => client.decr('number', 100));
  await step('incr nothing', () => client.incr('uncounted', 1));
  await client.set('number', 'word', 0);
  await step('incr word', () => client.incr('number', 1));
}

async function times(client) {
  await client.set('short', 's', 2);
  await step('get for 2 s', () => client.get('short'));
  await client.set('long', 'l', 100);
  await client.set('touched', 't', 2);
  await step('touch', () => client.touch('touched', 100));
  await step('touch nothing', () => client.touch('nothing', 100));
  await later(3.2);
  for (const key of ['short', 'long', 'touched']) await step(`get ${key} later`, () => client.get(key));
}

async function ending(client) {
  await step('flush', () => client.flush());
  await step('get flushed', () => client.get('a'));
  await client.set('a', 'again', 0);
  await step('get after flush', () => client.get('a'));
}

// memjs: binary.
async function memjs() {
  const { Client } = require('memjs');
  const made = [];
  const make = () => {
    const client = Client.create(ADDRESS, { timeout: 10, conntimeout: 10, retries: 1, logger: { log() {} } });
    made.push(client);
    const value = async (promise) => {
      const found = await promise;
      return found.value === null ? null : [found.value, found.flags];
    };
    const number = async (promise) => Object.values(await promise);
    return {
      // A get that is refused is never told.
      silent: ['251'],
      get: (key) => value(client.get(key)),
      set: (key, data, expires) => client.set(key, data, { expires }),
      add: (key, data, expires) => client.add(key, data, { expires }),
      replace: (key, data, expires) => client.replace(key, data, { expires }),
      append: (key, data) => client.append(key, data),
      prepend: (key, data) => client.prepend(key, data),
      delete: (key) => client.delete(key),
      incr: (key, by) => number(client.increment(key, by, { initial: 42 })),
      decr: (key, by) => number(client.decrement(key, by, { initial: 42 })),
      touch: (key, seconds) => client.touch(key, seconds),
      flush: () => new Promise((done, fail) => client.flush((error) => (error ? fail(error) : done('flushed')))),
      statistics: () => new Promise((done, fail) => client.stats((error, _, found) => (error ? fail(error) : done(statistics(found))))),
      quit: () => client.quit(),
    };
  };
  await common(make);
  const client = make();
  await step('reset', () => new Promise((done, fail) => made[0].resetStats((error) => (error ? fail(error) : done('reset')))));
  await ending(client);
  made.forEach((each) => each.close());
}

// memcached: classic ASCII.
async function memcached() {
  const Memcached = require('memcached');
  const made = [];
  const make = () => {
    const client = new Memcached(ADDRESS, { timeout: 10000, retries: 0, poolSize: 50 });
    made.push(client);
    const call = (name, ...words) => new Promise((done, fail) => client[name](...words, (error, found) => (
      error ? fail(error instanceof Error ? error : new Error(shown(error))) : done(found))));
    return {
      call,
      silent: [],
      get: (key) => call('get', key),
      set: (key, data, expires) => call('set', key, data, expires),
      add: (key, data, expires) => call('add', key, data, expires),
      replace: (key, data, expires) => call('replace', key, data, expires),
      append: (key, data) => call('append', key, data),
      prepend: (key, data) => call('prepend', key, data),
      delete: (key) => call('del', key),
      incr: (key, by) => call('incr', key, by),
      decr: (key, by) => call('decr', key, by),
      touch: (key, seconds) => call('touch', key, seconds),
      flush: () => call('flush'),
      statistics: async () => statistics((await call('stats'))[0]),
    };
  };
  await common(make);
  const client = make();
  const several = Array.from({ length: 200 }, (_, number) => 'several' + number);
  for (const key of several) await client.set(key, key, 0);
  several.push('none1', 'none2');
  await step('get several', () => client.call('getMulti', several));
  await step('get several, some missing', () => client.call('getMulti', ['several1', 'none1', 'several2']));
  await step('get several, none there', () => client.call('getMulti', ['none1', 'none2']));
  await client.set('a', '1', 0);
  await step('gets and cas', async () => {
    const found = await client.call('gets', 'a');
    return [found.a, typeof found.cas, await client.call('cas', 'a', 'by cas', found.cas, 0), await client.call('cas', 'a', 'stale', found.cas, 0)];
  });
  await step('gets nothing', () => client.call('gets', 'nothing'));
  await step('number', async () => [await client.set('typed', 12.5, 0), await client.get('typed')]);
  await step('object', async () => [await client.set('typed', { a: [1, 'ü'] }, 0), await client.get('typed')]);
  await step('version', async () => (await client.call('version')).map((found) => [found.major > 0, typeof found.bugfix]));
  await step('settings', async () => (await client.call('settings')).map((found) => ['maxbytes', 'tcpport', 'num_threads'].map((name) => name in found)));
  await step('slabs', async () => Object.keys((await client.call('slabs'))[0]).length > 0);
  await step('items', async () => Object.keys((await client.call('items'))[0]).length > 0);
  await ending(client);
  made.forEach((each) => each.end());
}

({ memjs, memcached })[library]().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
