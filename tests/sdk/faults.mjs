// What is refused, and what happens when something breaks: bad requests, dead servers, killed gateways,
// lost connections, slow readers. The upstreams are raw peers that note down what they were told.

import { MCPGW, assert, check, end, finish, httpPeer, marked, serve, sleep, stdioPeer, tempFile, until, withGateway } from './rig.mjs';
import { Pipe, Wire, callBody, meta, modernHeaders, note, rpc, slowReader } from './wire.mjs';

const pipe = stdioPeer('dual');
const http = await httpPeer('dual');
const server = ({ command, args }, gateway) => ({ command, args, ...(gateway && { gateway }) });
const gw = await serve({
  mcpServers: {
    pipe: server(pipe),
    http: { url: http.url },
    gone: { command: '/nonexistent/mcp-server' },
    deaf: { url: 'http://127.0.0.1:9/mcp' },
  },
  gateway: { heartbeat_ms: 200, resume_ms: 5000 },
});
const at = (path) => new Wire(`${gw.base}/mcp${path}`);
const legacy = async (path, revision) => {
  const wire = at(path);
  await wire.initialize(revision);
  return wire;
};
const fails = (reply, code, status) => {
  assert.equal(reply.json?.error?.code, code, `${reply.status} ${reply.text.slice(0, 300)}`);
  if (status) assert.equal(reply.status, status, reply.text.slice(0, 300));
};
const isText = (reply, text) => assert.equal(reply.json?.result?.content?.[0]?.text, text, `${reply.status} ${reply.text.slice(0, 300)}`);
const HELLO = rpc(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } });
const LIST = rpc(1, 'tools/list', { _meta: meta() });

// ---------------------------------------------------------------------------------------------
// HTTP

await check('Host and Origin', async () => {
  const wire = at('/pipe');
  const port = new URL(gw.url).port;
  const eras = [[HELLO, {}], [LIST, modernHeaders('tools/list')]];
  for (const [body, more] of eras) {
    const status = async (headers) => (await wire.send(body, { headers: { ...more, ...headers } })).status;
    for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', 'localhost.evil.example']) {
      assert.equal(await status({ Host: host }), 403, `Host ${host}`);
    }
    for (const origin of ['http://evil.example', 'https://localhost.evil.example', 'null']) {
      assert.equal(await status({ Origin: origin }), 403, `Origin ${origin}`);
    }
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`]) {
      assert.equal(await status({ Host: host, Origin: `http://${host}` }), 200, `own ${host}`);
    }
  }
  for (const method of ['GET', 'DELETE', 'OPTIONS']) {
    const { status } = await wire.send(undefined, { method, headers: { Host: 'evil.example' } });
    assert.equal(status, 403, `${method} with a foreign Host`);
  }
});

await check('media types and methods', async () => {
  const wire = at('/pipe');
  const status = async (headers, options) => (await wire.send(HELLO, { headers, ...options })).status;
  assert.equal(await status({ 'Content-Type': 'text/plain' }), 415);
  assert.equal(await status({ 'Content-Type': undefined }), 415);
  assert.equal(await status({ 'Content-Encoding': 'gzip' }), 415);
  assert.equal(await status({ 'Content-Type': 'application/json; charset=utf-8' }), 200);
  assert.equal(await status({ Accept: 'text/html' }), 406);
  assert.equal(await status({ Accept: 'application/json' }), 406);
  assert.equal(await status({ Accept: '*/*' }), 200);
  assert.equal(await status({ Accept: undefined }), 200, 'no Accept header means anything (RFC 9110, 12.5.1)');
  assert.equal((await wire.send(undefined, { method: 'GET', headers: { Accept: 'application/json' } })).status, 406);
  const put = await wire.send(HELLO, { method: 'PUT' });
  assert.equal(put.status, 405);
  assert.match(put.headers.allow, /POST/);
  assert.equal((await at('/nobody').send(HELLO)).status, 404);
});

await check('bodies that are no messages', async () => {
  const wire = await legacy('/pipe');
  fails(await wire.send('{'), -32700, 400);
  fails(await wire.send(''), -32700, 400);
  fails(await wire.send('{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}'), -32600, 400);
  for (const id of ['null', '1.5', '{}', 'true', `"${'x'.repeat(300)}"`]) {
    fails(await wire.send(`{"jsonrpc":"2.0","id":${id},"method":"ping"}`), -32600, 400);
  }
  const big = await wire.send(callBody(1, 'echo', { v: 'x'.repeat(5_000_000) })).catch((e) => ({ status: e.code }));
  assert.ok([413, 'ECONNRESET', 'EPIPE'].includes(big.status), `5 MB: ${big.status}`);
});

// ---------------------------------------------------------------------------------------------
// Legacy sessions

await check('sessions: unknown, ended twice, of another endpoint', async () => {
  const wire = await legacy('/pipe');
  assert.match(wire.session, /^[\x21-\x7e]+$/);
  const other = at('/http');
  other.session = wire.session;
  assert.equal((await other.ask(1, 'tools/list')).status, 404, 'a session of /mcp/pipe at /mcp/http');
  assert.equal((await at('/pipe').ask(1, 'tools/list')).status, 400, 'no session id');
  assert.equal((await at('/pipe').send(undefined, { method: 'DELETE' })).status, 400, 'DELETE without id');
  const stranger = at('/pipe');
  for (const id of ['x', wire.session.slice(1), `${wire.session}0`, wire.session.replace(/.$/, (c) => (c === 'a' ? 'b' : 'a'))]) {
    stranger.session = id;
    assert.equal((await stranger.ask(1, 'tools/list')).status, 404, `id ${id}`);
  }
  assert.ok([200, 204].includes((await wire.send(undefined, { method: 'DELETE' })).status));
  assert.equal((await wire.send(undefined, { method: 'DELETE' })).status, 404, 'the second DELETE');
  assert.equal((await wire.ask(1, 'ping')).status, 404, 'a request after DELETE');
  assert.equal((await wire.send(undefined, { method: 'GET' })).status, 404, 'a GET after DELETE');
});

await check('before initialized: ping alone', async () => {
  const wire = at('/pipe');
  const hello = await wire.send(HELLO);
  wire.session = hello.headers['mcp-session-id'];
  fails(await wire.ask(2, 'tools/list'), -32600);
  assert.ok((await wire.ask(3, 'ping')).json.result);
});

await check('an id in flight is taken', async () => {
  const wire = await legacy('/pipe');
  const first = wire.call(7, 'sleep', { ms: 400 });
  await sleep(150);
  fails(await wire.call(7, 'echo', {}), -32600);
  isText(await first, 'slept');
  assert.ok((await wire.call(7, 'echo', {})).json.result, 'free again');
  const same = (id) => at('/pipe').modern(id, 'tools/call', { name: 'sleep', arguments: { ms: 200 } });
  for (const reply of await Promise.all([same(1), same(1), same(1)])) isText(reply, 'slept');
});

await check('answers and cancels nobody waits for are accepted', async () => {
  const wire = await legacy('/pipe');
  const accepted = async (body) => assert.equal((await wire.send(body)).status, 202, body);
  await accepted('{"jsonrpc":"2.0","id":12345,"result":{}}');
  await accepted('{"jsonrpc":"2.0","id":"no such","error":{"code":-1,"message":"x"}}');
  await accepted(note('notifications/cancelled', { requestId: 999 }));
  await accepted(note('notifications/progress', { progressToken: 'none', progress: 1 }));
  await accepted(note('notifications/nobody_knows', {}));
  assert.ok((await wire.ask(1, 'ping')).json.result);
});

await check('batches are for 2025-03-26 alone', async () => {
  const batch = `[${callBody(1, 'echo', { v: 1 })},${rpc(2, 'ping')},${note('notifications/cancelled', { requestId: 9 })},${rpc('c', 'nothing')}]`;
  const old = await legacy('/pipe', '2025-03-26');
  const reply = await old.send(batch);
  assert.equal(reply.status, 200);
  const answers = reply.messages.flat();
  assert.deepEqual(answers.map((a) => a.id).sort(), [1, 2, 'c'], reply.text);
  assert.equal(answers.find((a) => a.id === 'c').error.code, -32601);
  assert.equal((await old.send(`[${note('notifications/cancelled', { requestId: 9 })}]`)).status, 202);
  fails(await old.send('[]'), -32600, 400);
  fails(await old.send(`[${Array.from({ length: 65 }, (_, i) => rpc(i, 'ping')).join()}]`), -32600, 400);
  for (const revision of ['2024-11-05', '2025-06-18', '2025-11-25']) {
    fails(await (await legacy('/pipe', revision)).send(batch), -32600, 400);
  }
});

// ---------------------------------------------------------------------------------------------
// Modern requests

await check('headers and _meta must agree', async () => {
  const wire = at('/pipe');
  const call = (headers) => wire.modern(1, 'tools/call', { name: 'echo', arguments: {} }, headers);
  fails(await call({ 'Mcp-Method': 'tools/list' }), -32020, 400);
  fails(await call({ 'Mcp-Method': undefined }), -32020, 400);
  fails(await call({ 'Mcp-Name': 'say' }), -32020, 400);
  fails(await call({ 'MCP-Protocol-Version': '2025-11-25' }), -32020, 400);
  assert.ok((await call({})).json.result);
  const future = { 'io.modelcontextprotocol/protocolVersion': '2027-01-01' };
  const unknown = await wire.modern(1, 'tools/list', { _meta: future }, { 'MCP-Protocol-Version': '2027-01-01' });
  fails(unknown, -32022, 400);
  assert.equal(unknown.json.error.data.requested, '2027-01-01');
  assert.ok(unknown.json.error.data.supported.includes('2026-07-28'));
  for (const method of ['nothing/here', 'initialize', 'ping', 'logging/setLevel']) {
    fails(await wire.modern('u', method), -32601, 404);
  }
});

// ---------------------------------------------------------------------------------------------
// All servers together, two of them dead

await check('a dead server is left out and named', async () => {
  const wire = await legacy('');
  const lists = { legacy: await wire.ask(1, 'tools/list'), modern: await at('').modern(1, 'tools/list') };
  for (const [era, { json, text }] of Object.entries(lists)) {
    const names = json?.result?.tools?.map((t) => t.name) ?? [];
    assert.ok(names.includes('pipe__echo') && names.includes('http__echo'), `${era}: ${text.slice(0, 300)}`);
    assert.ok(names.every((n) => /^(pipe|http)__/.test(n)), `${era}: ${names}`);
    const unavailable = JSON.stringify(json.result._meta?.['dev.mcpgw/unavailable'] ?? null);
    for (const name of ['gone', 'deaf']) assert.ok(unavailable.includes(name), `${era}: ${name} in ${unavailable}`);
  }
  assert.ok((await wire.call(2, 'http__echo', {})).json.result);
  assert.ok((await wire.call(3, 'pipe__echo', {})).json.result);
  fails(await wire.call(4, 'nobody__echo', {}), -32602);
  fails(await wire.call(5, 'echo', {}), -32602);
  fails(await at('').modern(6, 'tools/call', { name: 'pipe__none', arguments: {} }), -32602);
}, 30_000);

await check('a client that a server refuses harms no other', async () => {
  const unwelcome = HELLO.replace('"x"', '"unwelcome"');
  for (const path of ['/pipe', '/http']) {
    for (let i = 0; i < 3; i++) fails(await at(path).send(unwelcome), -32602);
    assert.ok((await (await legacy(path)).call(1, 'echo', {})).json.result);
  }
  const guest = at('');
  const hello = await guest.send(unwelcome);
  guest.session = hello.headers['mcp-session-id'];
  const wire = await legacy('');
  const tools = (await wire.ask(1, 'tools/list')).json.result.tools.map((t) => t.name);
  assert.ok(tools.includes('pipe__echo') && tools.includes('http__echo'), tools.join());
  const modern = stdioPeer('modern');
  await withGateway({ mcpServers: { m: server(modern), p: server(pipe) } }, async (gw) => {
    const m = () => new Wire(`${gw.base}/mcp/m`);
    fails(await m().send(HELLO), -32022);
    assert.ok((await m().modern(1, 'tools/list')).json.result, 'a modern client after a legacy one');
    const both = new Wire(gw.url);
    await both.initialize();
    for (let i = 1; i < 5; i++) await both.ask(i, 'tools/list');
    const starts = modern.notes().filter((n) => n.event === 'start').length;
    assert.ok(starts <= 3, `asked again and again: ${starts} processes`);
  });
}, 30_000);

await check('a dead server alone says so', async () => {
  for (const path of ['/gone', '/deaf']) {
    const { json, text } = await at(path).send(HELLO);
    assert.equal(json?.error?.code, -31002, text);
    assert.equal(json.error.data.origin, 'gateway');
    fails(await at(path).modern(1, 'tools/list'), -31002);
  }
});

await check('a server that dies in a call: an error now, STATE_LOST once, then a new one', async () => {
  const wire = await legacy('/pipe');
  const pid = Number((await wire.call(1, 'pid', {})).json.result.content[0].text);
  const call = wire.call(2, 'sleep', { ms: 10_000 });
  await sleep(150);
  process.kill(pid, 'SIGKILL');
  const { json, text } = await call;
  assert.ok([-31002, -31004].includes(json?.error?.code), text);
  assert.equal(json.error.data.origin, 'gateway');
  const after = [];
  for (let i = 3; i < 6; i++) after.push((await wire.call(i, 'pid', {})).json);
  const lost = after.filter((a) => a.error?.code === -31007).length;
  assert.equal(lost, 1, JSON.stringify(after));
  assert.notEqual(Number(after.at(-1).result?.content[0].text), pid);
});

// ---------------------------------------------------------------------------------------------
// Lost connections

const cancelled = (peer, id) => peer.notes().filter((n) => n.event === 'cancelled').length > id;
for (const [path, peer] of [['/pipe', pipe], ['/http', http]]) {
  await check(`a modern client that goes away cancels, ${path}`, async () => {
    const before = peer.notes().filter((n) => n.event === 'cancelled').length;
    const body = callBody(1, 'sleep', { ms: 8000, step_ms: 50 }, { _meta: meta({ progressToken: 't' }) });
    const exchange = await at(path).open(body, { headers: modernHeaders('tools/call', 'sleep') });
    await until('progress', () => exchange.events.some((e) => e.data?.includes('progress')));
    exchange.destroy();
    await until('the cancel', () => cancelled(peer, before), 1500);
  });

  await check(`a legacy client that goes away does not, and finds the rest, ${path}`, async () => {
    const before = peer.notes().filter((n) => n.event === 'cancelled').length;
    const wire = await legacy(path);
    const body = callBody(1, 'sleep', { ms: 1500, step_ms: 100 }, { _meta: { progressToken: 't' } });
    const first = await wire.open(body);
    assert.match(first.headers['content-type'], /^text\/event-stream/);
    await until('three events', () => first.events.filter((e) => e.data?.length).length >= 3);
    first.destroy();
    const [prime] = first.events;
    assert.ok(prime.id && prime.data?.length === 0, `the first event primes: ${JSON.stringify(prime)}`);
    const last = first.events.filter((e) => e.id).at(-1).id;
    await sleep(300);
    const rest = await wire.open(undefined, { method: 'GET', headers: { 'Last-Event-ID': last } });
    assert.equal(rest.status, 200);
    await rest.body;
    assert.equal(cancelled(peer, before), false, 'the upstream was told to cancel');
    const messages = [...first.events, ...rest.events].filter((e) => e.data?.length).map((e) => JSON.parse(e.data));
    const steps = messages.filter((m) => m.method).map((m) => m.params.progress);
    assert.deepEqual(steps, Array.from({ length: 14 }, (_, i) => i + 1), 'each step once');
    assert.equal(messages.at(-1).result?.content[0].text, 'slept');
    // The resumed stream primes with the client's own cursor; what carries a message has an id of its own.
    const ids = [...first.events, ...rest.events].filter((e) => e.data?.length).map((e) => e.id);
    assert.equal(new Set(ids).size, ids.length, `ids are unique: ${ids}`);
    const none = await wire.send(undefined, { method: 'GET', headers: { 'Last-Event-ID': 'never-given' } });
    assert.ok(none.status >= 400 && none.status < 500, `an unknown event id: ${none.status}`);
  });

  await check(`a legacy cancel goes through, ${path}`, async () => {
    const before = peer.notes().filter((n) => n.event === 'cancelled').length;
    const wire = await legacy(path);
    const call = wire.open(callBody('c', 'sleep', { ms: 8000, step_ms: 50 }, { _meta: { progressToken: 1 } }));
    await sleep(200);
    assert.equal((await wire.send(note('notifications/cancelled', { requestId: 'c', reason: 'no more' }))).status, 202);
    await until('the cancel', () => cancelled(peer, before), 1500);
    await (await call).body;
    assert.ok((await wire.call('c', 'echo', {})).json.result, 'the id is free');
  });
}

await check('idle streams have heartbeats', async () => {
  const wire = await legacy('/pipe');
  const channel = await wire.open(undefined, { method: 'GET' });
  const call = await wire.open(callBody(1, 'sleep', { ms: 3000 }));
  await until('heartbeats of a call', () => call.events.filter((e) => e.comment !== undefined).length >= 3);
  await until('heartbeats of a channel', () => channel.events.filter((e) => e.comment !== undefined).length >= 3);
  channel.destroy();
  call.destroy();
});

// ---------------------------------------------------------------------------------------------
// Slow readers

for (const path of ['/pipe', '/http']) {
  await check(`a slow reader does not stall another call of the same link, ${path}`, async () => {
    const body = callBody(1, 'big', { bytes: 8 << 20 }, { _meta: meta() });
    const readers = [1, 2, 3].map(() => slowReader(`${gw.base}/mcp${path}`, body, modernHeaders('tools/call', 'big')));
    await sleep(400);
    const started = Date.now();
    for (let i = 0; i < 5; i++) {
      assert.ok((await at(path).modern(i, 'tools/call', { name: 'echo', arguments: {} })).json?.result);
    }
    assert.ok(Date.now() - started < 2000, `${Date.now() - started} ms for five small calls`);
    let bytes = 0;
    readers[0].on('data', (d) => (bytes += d.length));
    readers[0].resume();
    await until('all of it', () => bytes > 8 << 20, 5000);
    readers.forEach((r) => r.destroy());
  });
}

await gw.stop();

// ---------------------------------------------------------------------------------------------
// Ends

const stubborn = () => server(stdioPeer('dual', '--stubborn', '--family'));
const plainFamily = () => server(stdioPeer('dual', '--family'));
const family = { mcpServers: { a: stubborn(), b: plainFamily() } };
const others = () => marked().filter((pid) => pid !== http.child.pid);

async function populate(gateway) {
  const wire = new Wire(gateway.url);
  await wire.initialize();
  assert.ok((await wire.call(1, 'a__echo', {})).json?.result);
  assert.ok((await wire.call(2, 'b__echo', {})).json?.result);
  assert.ok((await new Wire(gateway.url).modern(1, 'tools/list')).json?.result);
  assert.ok(others().length >= 6, `the children run: ${others().length}`);
  return wire;
}

await check('kill -9 of the gateway leaves no child behind', async () => {
  const gateway = await serve(family);
  const wire = await populate(gateway);
  wire.call(3, 'a__sleep', { ms: 30_000 }).catch(() => {});
  await sleep(100);
  gateway.child.kill('SIGKILL');
  await until('the end of the children', () => others().length === 0, 6000);
}, 30_000);

await check('TERM ends it in time, stubborn children included', async () => {
  const gateway = await serve(family);
  await populate(gateway);
  const { code, signal, late } = await gateway.stop('SIGTERM', 9000);
  assert.ok(code === 0 && !late, `code ${code}, signal ${signal}, late ${late}`);
  await until('the end of the children', () => others().length === 0, 3000);
}, 30_000);

await check('DELETE ends the children of a session', async () => {
  await withGateway({ mcpServers: { a: stubborn() } }, async (gateway) => {
    const wire = new Wire(gateway.url);
    await wire.initialize();
    assert.ok((await wire.call(1, 'echo', {})).json?.result);
    const before = others().length;
    await wire.send(undefined, { method: 'DELETE' });
    await until('the end of the child', () => others().length < before - 1, 5000);
  });
}, 30_000);

for (const [kind, target, peer] of [['stdio', null, stdioPeer('dual')], ['http', http.url, http]]) {
  await check(`TERM under load loses no call that was carried out, ${kind}`, async () => {
    const mcpServers = { p: target ? { url: target } : server(peer, { limits: { concurrency: 64 } }) };
    const gateway = await serve({ mcpServers });
    const seen = new Set();
    const from = peer.notes().length;
    let next = 0;
    let stop = false;
    const client = async (era) => {
      const wire = new Wire(gateway.url);
      if (era === 'legacy') await wire.initialize();
      while (!stop) {
        const n = `${kind}-${++next}`;
        const params = { name: 'count', arguments: { n, ms: 5 } };
        try {
          const { json } = era === 'legacy' ? await wire.call(next, 'count', params.arguments) : await wire.modern(next, 'tools/call', params);
          if (json?.result) seen.add(n);
          else if (json?.error && json.error.data?.delivered !== 'no') throw new Error(`${n}: ${JSON.stringify(json.error)}`);
          else await sleep(5);
        } catch (error) {
          if (!stop) throw error;
          return;
        }
      }
    };
    const clients = Promise.allSettled([...Array(8)].map((_, i) => client(i % 2 ? 'modern' : 'legacy')));
    await sleep(1200);
    const atTerm = seen.size;
    const ended = gateway.stop('SIGTERM', 9000);
    setTimeout(() => (stop = true), 20);
    const { code, late } = await ended;
    stop = true;
    const failures = (await clients).filter((c) => c.status === 'rejected').map((c) => c.reason.message);
    await sleep(100);
    const done = peer.notes().slice(from).filter((x) => x.event === 'count').map((x) => x.n);
    const lost = done.filter((n) => !seen.has(n));
    assert.ok(atTerm > 50, `only ${atTerm} calls before TERM`);
    assert.deepEqual(lost, [], `carried out, but not answered, of ${done.length}; ${failures.slice(0, 2).join('; ')}`);
    assert.ok(code === 0 && !late, `code ${code}, late ${late}`);
  }, 30_000);
}

await check('kill -9 of the stdio front leaves no child behind', async () => {
  const front = new Pipe(MCPGW, ['stdio', tempFile('family.json', JSON.stringify(family))]);
  await front.initialize();
  await front.send(callBody('e', 'a__echo', {}), 'e');
  assert.ok(others().length >= 4, `the children run: ${others().length}`);
  front.child.kill('SIGKILL');
  await until('the end of the children', () => others().length === 0, 6000);
}, 30_000);

await check('a call over its time is given up, and the server told', async () => {
  const slow = stdioPeer('dual');
  const gateway = { timeouts: { total_ms: 60_000 }, tools: { 'slee*': { timeouts: { total_ms: 300 } } } };
  await withGateway({ mcpServers: { slow: server(slow, gateway) } }, async (gw) => {
    const wire = new Wire(gw.url);
    await wire.initialize();
    for (const ask of [() => wire.call(1, 'sleep', { ms: 5000 }), () => wire.modern(2, 'tools/call', { name: 'sleep', arguments: { ms: 5000 } })]) {
      const before = slow.notes().filter((n) => n.event === 'cancelled').length;
      const started = Date.now();
      fails(await ask(), -31003);
      assert.ok(Date.now() - started < 1500, `after ${Date.now() - started} ms`);
      await until('the cancel', () => cancelled(slow, before), 1500);
    }
  });
});

await check('bad command lines and files', async () => {
  const fails = async (what) => assert.rejects(serve(what), /ended with/);
  await fails(['/nonexistent.json']);
  await fails([]);
  await fails({ mcpServers: {}, gateway: { no_such_key: 1 } });
});

await end(http.child);
await finish();
