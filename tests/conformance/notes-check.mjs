// The example server examples/servers/notes.c under the official SDK clients, in both eras.
//
//   notes-check.mjs PROGRAM
//
// Prints a line a check; exit 1 if anything fails.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Client as ClientV2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';

const PROGRAM = process.argv[2];
const INFO = { name: 'notes-check', version: '1.0.0' };
const COMMAND = { command: PROGRAM, args: [], stderr: 'inherit' };
const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};

async function v1() {
  const client = new ClientV1(INFO);
  await client.connect(new StdioV1(COMMAND));
  return client;
}

const v2 = (mode) => async () => {
  const client = new ClientV2(INFO, { versionNegotiation: { mode } });
  await client.connect(new StdioV2(COMMAND));
  return client;
};

async function exercise(client) {
  const call = async (name, args = {}) => (await client.callTool({ name, arguments: args })).content[0].text;
  assert.equal(client.getServerVersion()?.name ?? 'notes', 'notes');
  const names = (await client.listTools()).tools.map((t) => t.name);
  assert.deepEqual(names, ['add_note', 'list_notes', 'clear_notes', 'slow']);
  assert.equal(await call('list_notes'), 'no notes yet');
  assert.equal(await call('add_note', { text: 'milk' }), 'note 1');
  assert.equal(await call('add_note', { text: 'Käse, "old"' }), 'note 2');
  assert.equal(await call('list_notes'), 'milk\nKäse, "old"\n');
  assert.equal((await client.listResources()).resources[0].uri, 'notes://all');
  assert.equal((await client.readResource({ uri: 'notes://all' })).contents[0].text, 'milk\nKäse, "old"\n');
  await assert.rejects(client.readResource({ uri: 'notes://none' }));
  await assert.rejects(client.callTool({ name: 'nothing', arguments: {} }));
  assert.equal((await client.callTool({ name: 'add_note', arguments: {} })).isError, true);
  await call('clear_notes');
  assert.equal(await call('list_notes'), 'no notes yet');

  const steps = [];
  const onprogress = ({ progress, total }) => void (steps.push(progress), assert.equal(total, 350));
  const slow = await client.callTool({ name: 'slow', arguments: { ms: 350 } }, ...options(client, { onprogress }));
  assert.equal(slow.content[0].text, 'done at last');
  assert.ok(steps.length >= 2 && steps.every((p, i) => i === 0 || p > steps[i - 1]), `progress ${steps}`);

  const abort = new AbortController();
  const long = client.callTool({ name: 'slow', arguments: { ms: 60000 } }, ...options(client, { signal: abort.signal }));
  setTimeout(() => abort.abort(), 50);
  await assert.rejects(long);
  assert.equal(await call('list_notes'), 'no notes yet', 'it goes on after a cancelled call');
}

// The old client takes a result schema between the request and its options.
const options = (client, o) => (client instanceof ClientV1 ? [undefined, o] : [o]);

/** Sends lines, ends the input once `expected` answers are there; resolves with all answers. */
async function raw(lines, expected) {
  const child = spawn(PROGRAM, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const answers = [];
  for (const line of lines) child.stdin.write((typeof line === 'string' ? line : JSON.stringify(line)) + '\n');
  if (expected === 0) child.stdin.end();
  for await (const line of createInterface({ input: child.stdout })) {
    answers.push(JSON.parse(line));
    if (answers.length === expected) child.stdin.end();
  }
  assert.deepEqual(await ended, [0, null], 'it ends in peace when its input does');
  return answers;
}

const rq = (id, method, params) => ({ jsonrpc: '2.0', id, method, params });
const INITIALIZE = (version) => rq(0, 'initialize', { protocolVersion: version, capabilities: {}, clientInfo: INFO });

const CHECKS = {
  'client v1': async () => {
    const client = await v1();
    await exercise(client).finally(() => client.close());
  },
  'client v2, modern': async () => {
    const client = await v2({ pin: '2026-07-28' })();
    await exercise(client).finally(() => client.close());
  },
  'client v2, probing, turns out modern': async () => {
    const client = await v2('auto')();
    assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');
    await client.close();
  },
  'modern fields': async () => {
    const [discover, list, read] = await raw(
      [
        rq('a', 'server/discover', { _meta: META }),
        rq('b', 'tools/list', { _meta: META }),
        rq('c', 'resources/read', { uri: 'notes://all', _meta: META }),
      ],
      3,
    );
    assert.deepEqual(discover.result.supportedVersions, ['2026-07-28']);
    for (const { result } of [discover, list, read]) {
      assert.equal(result.resultType, 'complete');
      assert.equal(typeof result.ttlMs, 'number');
      assert.ok(['public', 'private'].includes(result.cacheScope));
      assert.equal(result._meta['io.modelcontextprotocol/serverInfo'].name, 'notes');
    }
  },
  'modern refusals': async () => {
    const other = { ...META, 'io.modelcontextprotocol/protocolVersion': '2027-01-01' };
    const bare = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' };
    const [version, lacking, ping, missing] = await raw(
      [
        rq(1, 'tools/list', { _meta: other }),
        rq(2, 'tools/list', { _meta: bare }),
        rq(3, 'ping', { _meta: META }),
        rq(4, 'resources/read', { uri: 'notes://x', _meta: META }),
      ],
      4,
    );
    assert.equal(version.error.code, -32022);
    assert.deepEqual(version.error.data, { supported: ['2026-07-28'], requested: '2027-01-01' });
    assert.equal(lacking.error.code, -32602);
    assert.equal(ping.error.code, -32601);
    assert.equal(missing.error.code, -32602);
    assert.equal(missing.error.data.uri, 'notes://x');
  },
  'legacy revisions': async () => {
    for (const version of ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']) {
      const [early, hello, list] = await raw([rq(9, 'tools/list'), INITIALIZE(version), rq(1, 'tools/list')], 3);
      assert.equal(early.error.code, -32600);
      assert.equal(hello.result.protocolVersion, version);
      assert.equal(list.result.resultType, undefined);
      assert.equal(list.result.tools.length, 4);
    }
    assert.equal((await raw([INITIALIZE('1999-01-01')], 1))[0].result.protocolVersion, '2025-11-25');
  },
  'a batch': async () => {
    const answers = await raw([INITIALIZE('2025-03-26'), [rq(1, 'ping'), rq(2, 'ping')]], 3);
    assert.deepEqual(answers.map((a) => a.id), [0, 1, 2]);
  },
  'bad messages': async () => {
    const [json, shape, id] = await raw(['{', [], rq({}, 'ping')], 3);
    assert.equal(json.error.code, -32700);
    assert.equal(shape.error.code, -32600);
    assert.equal(id.error.code, -32600);
    assert.ok(!('id' in json));
  },
  'a cancelled call is not answered, an id in use not taken': async () => {
    const slow = (id, ms) => rq(id, 'tools/call', { name: 'slow', arguments: { ms } });
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } };
    const answers = await raw([INITIALIZE('2025-11-25'), slow(1, 60), slow(1, 5), cancel, slow(2, 150)], 3);
    assert.deepEqual(answers.map((a) => [a.id, a.error?.code]), [[0, undefined], [1, -32600], [2, undefined]]);
  },
  'no more than 16 slow calls': async () => {
    const calls = Array.from({ length: 17 }, (_, i) =>
      rq(i + 1, 'tools/call', { name: 'slow', arguments: { ms: 100 } }));
    const answers = await raw([INITIALIZE('2025-11-25'), ...calls], 18);
    assert.deepEqual(answers.filter((a) => a.result.isError).map((a) => a.id), [17]);
  },
  'the end of input ends it, calls or no calls': async () => {
    await raw([], 0);
    const answers = await raw([INITIALIZE('2025-11-25'), rq(1, 'tools/call', { name: 'slow', arguments: { ms: 60000 } })], 1);
    assert.equal(answers.length, 1);
  },
};

let failed = 0;
for (const [name, check] of Object.entries(CHECKS)) {
  try {
    await check();
    console.log(`${name}: ok`);
  } catch (error) {
    failed++;
    console.log(`${name}: FAILED: ${error.message}`);
  }
}
process.exit(failed ? 1 : 0);
