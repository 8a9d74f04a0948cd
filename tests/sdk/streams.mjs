// Live streams: subscriptions that share one stream upstream, what becomes of them when a server or a
// connection goes and comes back, and streams that are polled. The servers are the conformance fixture (official
// SDK); between it and the gateway stands a relay that counts, and can be pointed at another server.

import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { ClientV1, HttpV1 } from '../conformance/sdk.mjs';
import { FIXTURE, assert, check, finish, httpFixture, marked, serve, sleep, stdioFixture, stdioPeer, until } from './rig.mjs';
import { INFO, Wire, meta, modernHeaders, rpc } from './wire.mjs';

const WATCHED = 'test://watched-resource';

/** A relay of bytes. listens(): how often subscriptions/listen was asked for. */
async function relay(url) {
  const to = { port: Number(new URL(url).port) };
  const pairs = new Set();
  let listens = 0;
  const server = createServer((near) => {
    const far = connect(to.port, '127.0.0.1');
    const pair = { near, far };
    pairs.add(pair);
    near.on('data', (d) => {
      listens += d.toString('latin1').split(/mcp-method: subscriptions\/listen/i).length - 1;
    });
    near.pipe(far).pipe(near);
    for (const s of [near, far]) {
      s.on('error', () => {});
      s.on('close', () => {
        pairs.delete(pair);
        near.destroy();
        far.destroy();
      });
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}/mcp`,
    listens: () => listens,
    point: (other) => (to.port = Number(new URL(other).port)),
    close: () => (server.close(), pairs.forEach((p) => p.near.destroy())),
  };
}

/** subscriptions/listen: resolves when it has been acknowledged. */
async function listen(url, id, filter) {
  const wire = new Wire(url);
  const body = rpc(id, 'subscriptions/listen', { notifications: filter, _meta: meta() });
  const exchange = await wire.open(body, { headers: modernHeaders('subscriptions/listen') });
  const seen = [];
  let over = false;
  exchange.on((e) => e.data?.length && seen.push(JSON.parse(e.data.toString())));
  exchange.body.then(() => (over = true), () => (over = true));
  await until(`an acknowledgement for ${id}`, () => seen.length);
  const of = (method) => seen.filter((m) => m.method === `notifications/${method}`);
  return { id, seen, of, over: () => over, close: () => (exchange.destroy(), wire.close()) };
}

const trigger = async (url, name) => {
  const wire = new Wire(url);
  const reply = await wire.modern(1, 'tools/call', { name, arguments: {} });
  assert.ok(reply.json?.result, `${name}: ${reply.status} ${reply.text}`);
  wire.close();
};
const idOf = (message) => message.params._meta['io.modelcontextprotocol/subscriptionId'];

await check('many listeners share a stream, and each hears its own', async () => {
  const server = await httpFixture('modern');
  const between = await relay(server.url);
  const gw = await serve([between.url]);
  const all = [];
  for (let i = 0; i < 60; i++) {
    const filter = i % 3 === 0 ? { toolsListChanged: true } : i % 3 === 1 ? { resourceSubscriptions: [WATCHED] } : { toolsListChanged: true, resourceSubscriptions: [WATCHED] };
    all.push(await listen(gw.url, i % 2 ? i : `id ${i}`, filter));
  }
  assert.ok(between.listens() <= 3, `${between.listens()} streams upstream`);
  for (const l of all) {
    assert.equal(l.seen[0].method, 'notifications/subscriptions/acknowledged');
    assert.equal(idOf(l.seen[0]), l.id);
  }
  await trigger(gw.url, 'test_trigger_tool_change');
  await trigger(gw.url, 'test_trigger_resource_update');
  await until('all notifications', () => all.every((l, i) => l.seen.length === (i % 3 === 2 ? 3 : 2)));
  await sleep(200);
  all.forEach((l, i) => {
    assert.equal(l.of('tools/list_changed').length, i % 3 === 1 ? 0 : 1, `${l.id}`);
    assert.equal(l.of('resources/updated').length, i % 3 === 0 ? 0 : 1, `${l.id}`);
    for (const m of l.seen) assert.equal(idOf(m), l.id);
    l.close();
  });
  await gw.stop();
  between.close();
  await server.stop();
}, 40_000);

await check('a server that is restarted is listened to again', async () => {
  let server = await httpFixture('modern');
  const between = await relay(server.url);
  const gw = await serve([between.url]);
  const one = await listen(gw.url, 1, { toolsListChanged: true, resourceSubscriptions: [WATCHED] });
  const two = await listen(gw.url, 2, { resourceSubscriptions: [WATCHED] });
  await server.stop('SIGKILL');
  await sleep(500);
  server = await httpFixture('modern');
  between.point(server.url);
  await until('list_changed after the gap', () => one.of('tools/list_changed').length === 1, 15_000);
  assert.equal(two.seen.length, 1, 'an update was invented');
  await trigger(gw.url, 'test_trigger_resource_update');
  await until('an update', () => one.of('resources/updated').length === 1 && two.of('resources/updated').length === 1);
  assert.equal(one.over() || two.over(), false);
  one.close();
  two.close();
  await gw.stop();
  between.close();
  await server.stop();
}, 40_000);

await check('a child that is killed is listened to again', async () => {
  const gw = await serve({ mcpServers: { a: stdioFixture('modern'), b: stdioPeer('modern') } });
  const url = `${gw.base}/mcp/a`;
  const alone = await listen(url, 'alone', { toolsListChanged: true });
  const among = await listen(gw.url, 'among', { toolsListChanged: true });
  for (const pid of marked(FIXTURE)) if (marked().includes(pid)) process.kill(pid, 'SIGKILL');
  await until('list_changed', () => alone.of('tools/list_changed').length && among.of('tools/list_changed').length, 15_000);
  await trigger(url, 'test_trigger_tool_change');
  await until('a real one', () => alone.of('tools/list_changed').length >= 2 && among.of('tools/list_changed').length >= 2);
  alone.close();
  among.close();
  await gw.stop();
}, 40_000);

/** A legacy server of one session. It says 409 to the first GET after a stream: it has not noticed that that is gone,
 * as servers on the official SDK do not for up to 15 s. */
async function channelServer() {
  const gets = [];
  let stream;
  const server = createHttpServer((request, response) => {
    if (request.method === 'GET') {
      gets.push(request.headers['last-event-id']);
      if (gets.length === 2) return response.writeHead(409).end();
      stream = response;
      return response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
    }
    let body = '';
    request.on('data', (d) => (body += d));
    request.on('end', () => {
      const { id, method } = body ? JSON.parse(body) : {};
      if (method !== 'initialize') return response.writeHead(request.method === 'DELETE' ? 200 : 202).end();
      const result = { protocolVersion: '2025-11-25', capabilities: { tools: { listChanged: true }, prompts: {} }, serverInfo: INFO };
      response.writeHead(200, { 'Content-Type': 'application/json', 'Mcp-Session-Id': 's' });
      response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}/mcp`,
    gets,
    say: (method) => stream.write(`data: {"jsonrpc":"2.0","method":"notifications/${method}"}\n\n`),
    cut: () => stream.destroy(),
    stop: () => (server.close(), server.closeAllConnections()),
  };
}

await check('a lost GET stream comes back, and list_changed with it', async () => {
  const server = await channelServer();
  const gw = await serve([server.url]);
  const wire = new Wire(gw.url);
  await wire.initialize();
  const channel = await wire.open(undefined, { method: 'GET' });
  const seen = [];
  channel.on((e) => e.data?.length && seen.push(JSON.parse(e.data.toString()).method.slice('notifications/'.length)));
  await until('the GET upstream', () => server.gets.length === 1);
  server.say('prompts/list_changed');
  await until('what the server says', () => seen.length === 1);
  server.cut();
  await until('list_changed', () => seen.length === 2, 15_000);
  assert.equal(server.gets.length, 3);
  server.say('resources/list_changed');
  await until('what the server says now', () => seen.length === 3);
  assert.deepEqual(seen, ['prompts/list_changed', 'tools/list_changed', 'resources/list_changed']);
  channel.destroy();
  wire.close();
  await gw.stop();
  server.stop();
}, 40_000);

await check('SDK 1 polls', async () => {
  const peer = stdioPeer('legacy');
  const gw = await serve({ mcpServers: { peer }, gateway: { sse_after_ms: 100, sse_poll_ms: 500 } });
  const client = new ClientV1(INFO);
  await client.connect(new HttpV1(new URL(gw.url)));
  const { content } = await client.callTool({ name: 'sleep', arguments: { ms: 4000 } });
  assert.equal(content[0].text, 'slept');
  assert.equal(peer.notes().filter((n) => n.event === 'cancelled').length, 0);
  await client.close();
  await gw.stop();
}, 40_000);

await finish();
