// The official reference servers behind one endpoint, from a desktop agent's file taken as it is: twenty
// SDK clients at once (ten of SDK 1, ten of SDK 2 that probe for the modern era and must fall back, as
// these servers are legacy) use everything that the servers offer.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClientV1, ClientV2, HttpV1, HttpV2, v1 } from '../conformance/sdk.mjs';
import { CONFORMANCE, MARK, NODE, TMP, assert, check, finish, serve, sleep, tempFile, until } from './rig.mjs';

const SERVERS = join(CONFORMANCE, 'node_modules/@modelcontextprotocol');
const files = join(TMP, 'files');
mkdirSync(files);
writeFileSync(join(files, 'hello.txt'), 'Hello from a file\n');

const reference = (name, ...args) => [join(SERVERS, `server-${name}/dist/index.js`), ...args];
const file = tempFile(
  'claude_desktop_config.json',
  JSON.stringify({
    globalShortcut: 'Ctrl+Space',
    mcpServers: {
      everything: { command: NODE, args: reference('everything', 'stdio', MARK), autoApprove: ['echo'] },
      filesystem: { type: 'stdio', command: NODE, args: reference('filesystem', files), env: { MARK } },
      memory: { command: NODE, args: reference('memory', MARK), env: { MEMORY_FILE_PATH: join(TMP, 'memory.jsonl') } },
      old: { command: 'does-not-exist', disabled: true },
    },
  }),
);
const gateway = await serve([file]);

const INFO = { name: 'aggregate', version: '1' };
const CAPABILITIES = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };

/** What this client's person, model and file system say: each client's own, so that a mix-up shows. */
const answers = (i) => ({
  'elicitation/create': () => ({ action: 'accept', content: { name: `Ada ${i}`, check: true } }),
  'sampling/createMessage': () => ({ role: 'assistant', model: `model-${i}`, content: { type: 'text', text: `I am ${i}` } }),
  'roots/list': () => ({ roots: [{ uri: `file://${files}`, name: `root-${i}` }] }),
});
const HEARD = ['notifications/message', 'notifications/resources/updated', 'notifications/tools/list_changed'];

async function open(i) {
  const heard = [];
  let client;
  if (i % 2) {
    client = new ClientV1(INFO, { capabilities: CAPABILITIES });
    const schemas = { 'elicitation/create': v1.ElicitRequestSchema, 'sampling/createMessage': v1.CreateMessageRequestSchema, 'roots/list': v1.ListRootsRequestSchema };
    for (const [method, run] of Object.entries(answers(i))) client.setRequestHandler(schemas[method], run);
    client.fallbackNotificationHandler = async (n) => void heard.push(n);
    await client.connect(new HttpV1(new URL(gateway.url)));
  } else {
    client = new ClientV2(INFO, { capabilities: CAPABILITIES, versionNegotiation: { mode: 'auto' } });
    for (const [method, run] of Object.entries(answers(i))) client.setRequestHandler(method, run);
    for (const method of HEARD) client.setNotificationHandler(method, (n) => void heard.push(n));
    await client.connect(new HttpV2(new URL(gateway.url)));
    assert.equal(client.getNegotiatedProtocolVersion(), '2025-11-25', 'a probing client falls back');
  }
  return { i, client, heard, options: (o) => (client instanceof ClientV1 ? [undefined, o] : [o]) };
}

const call = async ({ client, options }, name, args = {}, o) => {
  const result = await client.callTool({ name, arguments: args }, ...options(o ?? { timeout: 20_000 }));
  assert.ok(!result.isError, `${name}: ${JSON.stringify(result).slice(0, 300)}`);
  return result;
};
const textOf = async (...args) => (await call(...args)).content.map((c) => c.text).join('\n');

// ---------------------------------------------------------------------------------------------
// What each client does, step by step, all of them at the same time

const STEPS = {
  async 'tools are listed under their servers'(c) {
    const names = (await c.client.listTools()).tools.map((t) => t.name);
    for (const name of ['everything__echo', 'everything__get-sum', 'filesystem__read_text_file', 'memory__read_graph']) {
      assert.ok(names.includes(name), `${name} in ${names}`);
    }
    assert.ok(names.every((n) => /^(everything|filesystem|memory)__/.test(n)), names.join());
    const { prompts } = await c.client.listPrompts();
    assert.ok(prompts.some((p) => p.name === 'everything__simple-prompt'), JSON.stringify(prompts).slice(0, 300));
  },
  async 'tools of all three are called'(c) {
    assert.equal(await textOf(c, 'everything__echo', { message: `hello ${c.i}` }), `Echo: hello ${c.i}`);
    assert.match(await textOf(c, 'everything__get-sum', { a: c.i, b: 1000 }), new RegExp(`\\b${1000 + c.i}\\b`));
    assert.match(await textOf(c, 'filesystem__read_text_file', { path: join(files, 'hello.txt') }), /^Hello from a file/);
    const mine = join(files, `from-${c.i}.txt`);
    await call(c, 'filesystem__write_file', { path: mine, content: `written by ${c.i} – ünïcode` });
    assert.equal(readFileSync(mine, 'utf8'), `written by ${c.i} – ünïcode`);
    await call(c, 'memory__read_graph');
    const weather = await call(c, 'everything__get-structured-content', { location: 'New York' });
    assert.equal(typeof weather.structuredContent.temperature, 'number');
  },
  async 'arguments are refused by the server itself'(c) {
    const result = await c.client.callTool({ name: 'everything__get-sum', arguments: { a: 'x' } }, ...c.options({}));
    assert.equal(result.isError, true);
  },
  async 'resources and templates'(c) {
    const { resources } = await c.client.listResources();
    const page = resources.find((r) => r.uri.startsWith('demo://resource/static/document/'));
    assert.ok((await c.client.readResource({ uri: page.uri })).contents[0].text.length > 10);
    const { resourceTemplates } = await c.client.listResourceTemplates();
    assert.ok(resourceTemplates.length >= 2);
    const dynamic = await c.client.readResource({ uri: `demo://resource/dynamic/text/${c.i + 1}` });
    assert.match(dynamic.contents[0].text, new RegExp(`\\b${c.i + 1}\\b`));
    await assert.rejects(c.client.readResource({ uri: 'demo://resource/nothing/here' }));
  },
  async 'prompts and completion'(c) {
    const prompt = await c.client.getPrompt({ name: 'everything__args-prompt', arguments: { city: `City ${c.i}` } });
    assert.ok(prompt.messages[0].content.text.includes(`City ${c.i}`));
    const ref = { type: 'ref/prompt', name: 'everything__completable-prompt' };
    const { completion } = await c.client.complete({ ref, argument: { name: 'department', value: 'Eng' } });
    assert.deepEqual(completion.values, ['Engineering']);
    const template = { type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' };
    const found = await c.client.complete({ ref: template, argument: { name: 'resourceId', value: '1' } }).catch((e) => e);
    assert.ok(found.completion, `completion of a template: ${found.message}`);
  },
  async 'progress'(c) {
    const steps = [];
    const onprogress = ({ progress }) => void steps.push(progress);
    const args = { duration: 0.3, steps: 3 };
    await call(c, 'everything__trigger-long-running-operation', args, { onprogress });
    // The last one and the result may be read together: SDK 1 then forgets the callback first.
    assert.ok(steps.length >= 2 && steps.every((s, n) => s === n + 1), `steps ${steps}`);
  },
  async 'the server asks the client'(c) {
    const sampled = await textOf(c, 'everything__trigger-sampling-request', { prompt: 'who?', maxTokens: 10 });
    assert.ok(sampled.includes(`I am ${c.i}`), sampled);
    const elicited = await textOf(c, 'everything__trigger-elicitation-request');
    assert.ok(elicited.includes(`Ada ${c.i}`), elicited);
    const roots = await textOf(c, 'everything__get-roots-list');
    assert.ok(roots.includes(`root-${c.i}`), roots);
  },
  async 'roots reach the file server'(c) {
    assert.ok((await textOf(c, 'filesystem__list_allowed_directories')).includes(files));
  },
  async 'cancellation half way'(c) {
    const abort = new AbortController();
    let steps = 0;
    const onprogress = () => void (++steps === 2 && abort.abort('enough'));
    const args = { duration: 5, steps: 50 };
    const started = Date.now();
    await assert.rejects(call(c, 'everything__trigger-long-running-operation', args, { onprogress, signal: abort.signal }));
    assert.ok(Date.now() - started < 4000 && steps >= 2);
    assert.equal(await textOf(c, 'everything__echo', { message: 'on' }), 'Echo: on');
  },
  async 'log level'(c) {
    await c.client.setLoggingLevel('debug');
    await call(c, 'everything__toggle-simulated-logging');
    await until('a log message', () => c.heard.some((n) => n.method === 'notifications/message'), 4000);
    await call(c, 'everything__toggle-simulated-logging');
  },
  async 'resource subscription'(c) {
    const uri = `demo://resource/dynamic/text/${c.i + 1}`;
    await c.client.subscribeResource({ uri });
    await call(c, 'everything__toggle-subscriber-updates');
    const updates = () => c.heard.filter((n) => n.method === 'notifications/resources/updated');
    await until('an update', () => updates().length > 0, 4000);
    assert.ok(updates().every((n) => n.params.uri === uri), 'an update of another client came');
    await call(c, 'everything__toggle-subscriber-updates');
    await c.client.unsubscribeResource({ uri });
  },
};

const clients = [];
await check('twenty clients connect', async () => {
  const opened = await Promise.all([...Array(20)].map((_, i) => open(i)));
  clients.push(...opened);
  await sleep(500); // everything asks for roots 350 ms after initialized
}, 60_000);

for (const [name, step] of Object.entries(STEPS)) {
  await check(`${name}, by ${clients.length} clients at once`, async () => {
    assert.equal(clients.length, 20);
    const ends = await Promise.allSettled(clients.map((c) => step(c)));
    const bad = ends.flatMap((e, i) => (e.status === 'rejected' ? [`${i % 2 ? 'v1' : 'v2'} #${i}: ${e.reason.message}`] : []));
    assert.equal(bad.length, 0, `${bad.length} of 20: ${bad.slice(0, 2).join('; ')}`);
  }, 30_000);
}

await check('one server alone, without prefix', async () => {
  const client = new ClientV1(INFO);
  await client.connect(new HttpV1(new URL(`${gateway.base}/mcp/memory`)));
  const names = (await client.listTools()).tools.map((t) => t.name);
  assert.ok(names.includes('create_entities'), names.join());
  const entities = [{ name: 'Ada', entityType: 'person', observations: ['wrote the first program'] }];
  await client.callTool({ name: 'create_entities', arguments: { entities } });
  const graph = await client.callTool({ name: 'search_nodes', arguments: { query: 'Ada' } });
  assert.ok(JSON.stringify(graph).includes('wrote the first program'));
  await client.close();
});

await check('they all leave', async () => {
  await Promise.all(clients.map(({ client }) => client.transport.terminateSession?.().then(() => client.close())));
  await gateway.stop();
}, 30_000);
await finish();
