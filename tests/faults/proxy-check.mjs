// The fault proxy does what it says: each fault, seen from both sides of it, by plain sockets.

import { connect, createServer } from 'node:net';
import { assert, check, finish, sleep, until } from '../sdk/rig.mjs';
import { faultProxy, faultsOf } from './proxy.mjs';

const BODY = 'x'.repeat(50);
const ANSWER = `HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
const EVENTS = ['data: 1\n\n', ': beat\n\n', 'data: 2\n\n'];
const chunk = (text) => `${text.length.toString(16)}\r\n${text}\r\n`;
const STREAM = `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n`;

/** A server that answers each read and keeps what it saw. */
const seen = [];
const server = createServer((socket) => {
  const one = { asked: '', ended: false, error: undefined };
  seen.push(one);
  socket.on('error', (e) => (one.error = e.code));
  socket.on('end', () => (one.ended = true));
  socket.on('data', (d) => {
    one.asked += d;
    if (/stream/.test(d)) socket.write(STREAM + EVENTS.map(chunk).join('') + '0\r\n\r\n');
    else if (/bye/.test(d)) socket.write(ANSWER), setTimeout(() => socket.end(), 20);
    else if (!/silent/.test(d)) socket.write(ANSWER);
  });
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const proxy = await faultProxy(`http://127.0.0.1:${server.address().port}/mcp`, { log: true });

function client(text, through = proxy) {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(through.url).port) });
  const one = { socket, got: '', ended: false, error: undefined, at: Date.now(), firstAt: 0 };
  socket.on('data', (d) => {
    one.firstAt ||= Date.now();
    one.got += d;
  });
  socket.on('end', () => (one.ended = true));
  socket.on('error', (e) => (one.error = e.code));
  if (text) socket.write(text);
  return one;
}
/** One exchange under one fault, watched until `test` holds. */
async function under(fault, test, text = 'ask') {
  await proxy.order(`next ${fault}`);
  const one = client(text);
  await until(`${fault}: the end`, () => test(one));
  await sleep(30);
  const server = seen.at(-1);
  const last = await proxy.last();
  one.socket.destroy();
  return { one, server, last };
}

await check('without a fault bytes pass, on one connection as on many', async () => {
  const one = client('ask');
  await until('the answer', () => one.got === ANSWER);
  one.socket.write('ask again');
  await until('the second', () => one.got === ANSWER + ANSWER);
  one.socket.end();
  await until('the end', () => one.ended && seen.at(-1).ended);
});
await check('early: nothing is forwarded', async () => {
  const { one, server } = await under('early', (c) => c.ended || c.error);
  assert.equal(one.got, '');
  assert.equal(server.asked, '');
});
await check('cutreq N: N bytes of the request are forwarded', async () => {
  const { one, server } = await under('cutreq 2', (c) => c.ended || c.error);
  assert.equal(one.got, '');
  await until('the end at the server', () => server.ended || server.error);
  assert.equal(server.asked, 'as');
});
await check('drop: the request is swallowed, the connection stays', async () => {
  await proxy.order('next drop');
  const one = client('ask');
  await sleep(300);
  assert.deepEqual([one.got, one.ended, one.error, seen.at(-1).asked], ['', false, undefined, '']);
  one.socket.destroy();
});
await check('late: the request is carried out, nothing of the response passes', async () => {
  const { one, server } = await under('late', (c) => c.ended || c.error);
  assert.deepEqual([one.got, server.asked], ['', 'ask']);
});
await check('cut N, rst N: N bytes of the response pass, at places all over it', async () => {
  for (let n = 0; n <= ANSWER.length; n += n < 3 || n > ANSWER.length - 3 ? 1 : 7) {
    for (const fault of ['cut', 'rst']) {
      const { one, server, last } = await under(`${fault} ${n}`, (c) => c.ended || c.error);
      assert.equal(one.got, ANSWER.slice(0, n), `${fault} ${n}`);
      // A reset that follows data is an end to libuv's readers; the server, which reads nothing, sees it.
      if (fault === 'cut') assert.deepEqual([one.ended, server.ended], [true, true], `cut ${n} ends properly`);
      else assert.deepEqual([Boolean(one.error ?? one.ended), server.error], [true, 'ECONNRESET'], `rst ${n} resets`);
      assert.deepEqual([last.fault, last.a, last.passed, last.fired], [fault, n, n, 1]);
    }
  }
}, 60_000);
await check('a place behind the end of the response does nothing, and says so', async () => {
  const { one, last } = await under(`cut ${ANSWER.length + 1}`, (c) => c.got.length === ANSWER.length);
  assert.deepEqual([one.got, last.fired, last.passed], [ANSWER, 0, ANSWER.length]);
});
await check('mute, halfopen: nobody is told', async () => {
  for (const [fault, got] of [['mute', ''], ['halfopen 20', ANSWER.slice(0, 20)], ['halfopen 0', '']]) {
    await proxy.order(`next ${fault}`);
    const one = client('ask');
    await sleep(300);
    assert.deepEqual([one.got, one.ended, one.error], [got, false, undefined], fault);
    one.socket.destroy();
    await until('the end at the server', () => seen.at(-1).ended || seen.at(-1).error);
  }
});
await check('hold: what is swallowed is reset on both sides in its time, and only that', async () => {
  const holding = await faultProxy(`http://127.0.0.1:${server.address().port}/mcp`, { hold: 400 });
  const idle = client('silent', holding);
  await until('its arrival', () => seen.at(-1).asked === 'silent');
  for (const [fault, got] of [['drop', ''], ['mute', ''], ['halfopen 20', ANSWER.slice(0, 20)]]) {
    await holding.order(`next ${fault}`);
    const one = client('ask', holding);
    await sleep(200);
    assert.deepEqual([one.got, one.ended, one.error], [got, false, undefined], `${fault}: not yet`);
    const before = seen.at(-1);
    await until(`${fault}: the reset`, () => one.ended || one.error);
    assert.ok(Date.now() - one.at >= 390, `${fault}: ${Date.now() - one.at} ms`);
    assert.equal(one.got, got, fault);
    await until(`${fault}: the reset at the server`, () => before.error === 'ECONNRESET');
  }
  for (const fault of ['delay 600', 'pass']) {
    await holding.order(`next ${fault}`);
    const one = client('ask', holding);
    await until(`${fault}: the answer`, () => one.got === ANSWER);
    one.socket.destroy();
  }
  assert.deepEqual([idle.ended, idle.error, (await holding.tally()).forgotten], [false, undefined, 3]);
  await holding.stop();
});
await check('delay MS, drip BYTES MS', async () => {
  const late = (await under('delay 400', (c) => c.got === ANSWER)).one;
  assert.ok(late.firstAt - late.at >= 390, `${late.firstAt - late.at} ms`);
  const from = Date.now();
  await under('drip 4 20', (c) => c.got === ANSWER);
  assert.ok(Date.now() - from >= (ANSWER.length / 4 - 2) * 20, `${Date.now() - from} ms`);
});
await check('drip: an end that comes between two pieces is not lost', async () => {
  const { one } = await under('drip 1000 300', (c) => c.ended, 'bye');
  assert.equal(one.got, ANSWER);
});
await check('dup: each event twice, heartbeats once, other responses as they are', async () => {
  const twice = STREAM + [0, 0, 1, 2, 2].map((i) => chunk(EVENTS[i])).join('') + '0\r\n\r\n';
  const { one } = await under('dup', (c) => c.got.endsWith('0\r\n\r\n'), 'stream');
  assert.equal(one.got, twice);
  const plain = await under('dup', (c) => c.got === ANSWER);
  assert.equal(plain.last.fired, 0);
  assert.equal((await proxy.tally()).doubled, 2);
});
await check('match: only exchanges that begin so are counted and broken', async () => {
  await proxy.order('match special');
  await proxy.order('next early');
  const plain = client('ask');
  await until('the answer', () => plain.got === ANSWER);
  const special = client('special ask');
  await until('the end', () => special.ended || special.error);
  assert.equal(special.got, '');
  await proxy.order('match ');
});
await check('down, up, reset', async () => {
  const held = client('silent');
  await sleep(50);
  await proxy.order('down');
  const refused = client('ask');
  await until('the refusal', () => refused.error === 'ECONNREFUSED');
  await proxy.order('reset');
  await until('the reset', () => held.error === 'ECONNRESET');
  await proxy.order('up');
  const one = client('ask');
  await until('the answer', () => one.got === ANSWER);
  one.socket.end();
});
await check('the same seed breaks the same exchanges', async () => {
  const runs = [];
  for (const seed of [7, 7, 8]) {
    const options = { seed, plan: 'early=300,cut=300,late=100', span: 80, log: true };
    const random = await faultProxy(`http://127.0.0.1:${server.address().port}/mcp`, options);
    for (let i = 0; i < 40; i++) {
      const one = client('ask', random);
      await until('an end', () => one.ended || one.error || one.got === ANSWER);
      one.socket.destroy();
    }
    await until('all of them', async () => (await random.tally()) && random.did.length === 40);
    const tally = await random.tally();
    assert.ok(Object.values(faultsOf(tally)).reduce((a, b) => a + b) > 15, JSON.stringify(tally));
    runs.push(random.did.sort((a, b) => a.nth - b.nth).map((d) => `${d.nth} ${d.fault} ${d.a}`).join());
    await random.stop();
  }
  assert.equal(runs[0], runs[1]);
  assert.notEqual(runs[0], runs[2]);
});
await proxy.stop();
server.close();
await finish();
