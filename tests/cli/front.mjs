// The stdio front and the served endpoint under the official SDK clients. Prints "ok - name" lines.

import { Client as ClientV2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';

const { MCPGW, NOTES, NODE, FIXTURE } = process.env;
const INFO = { name: 'front', version: '1.0.0' };

function ok(name, condition, why) {
  console.log(`${condition ? 'ok' : 'not ok'} - ${name}`);
  if (!condition && why !== undefined) console.log(`#   ${JSON.stringify(why)}`);
}

async function attempt(name, run) {
  try {
    await run();
  } catch (error) {
    ok(name, false, error?.message ?? String(error));
  }
}

const front = (...command) => ({ command: MCPGW, args: ['stdio', '--', ...command], stderr: 'ignore' });
const text = async (client, name, args = {}) => (await client.callTool({ name, arguments: args })).content[0].text;

const kinds = {
  'SDK v1': async (parameters) => {
    const client = new ClientV1(INFO, { capabilities: {} });
    const transport = new StdioV1(parameters);
    await client.connect(transport);
    return { client, transport };
  },
  'SDK v2, legacy': async (parameters) => {
    const client = new ClientV2(INFO, { versionNegotiation: { mode: 'legacy' } });
    const transport = new StdioV2(parameters);
    await client.connect(transport);
    return { client, transport };
  },
  'SDK v2, modern': async (parameters) => {
    const client = new ClientV2(INFO, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    const transport = new StdioV2(parameters);
    await client.connect(transport);
    return { client, transport };
  },
};

const alive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

for (const [kind, open] of Object.entries(kinds)) {
  await attempt(`${kind}: notes`, async () => {
    const { client, transport } = await open(front(NOTES));
    const names = (await client.listTools()).tools.map((t) => t.name);
    ok(`${kind}: lists the tools`, names.join() === 'add_note,list_notes,clear_notes,slow', names);
    ok(`${kind}: calls one`, (await text(client, 'add_note', { text: 'x' })) === 'note 1');
    const many = await Promise.all(Array.from({ length: 50 }, (_, i) => text(client, 'add_note', { text: `n${i}` })));
    ok(`${kind}: fifty calls at one time`, new Set(many).size === 50, many);
    const read = await client.readResource({ uri: 'notes://all' });
    ok(`${kind}: reads a resource`, read.contents[0].text.startsWith('x\n'), read);
    const steps = [];
    const slow = await client.callTool({ name: 'slow', arguments: { ms: 450 } }, ...progress(kind, (p) => steps.push(p)));
    ok(`${kind}: progress`, steps.length >= 2 && slow.content[0].text === 'done at last', steps);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 200);
    const cut = await client.callTool({ name: 'slow', arguments: { ms: 60000 } }, ...options(kind, { signal: stop.signal })).catch((e) => e);
    ok(`${kind}: cancels`, cut instanceof Error && (await text(client, 'list_notes')).startsWith('x\n'), String(cut));
    const pid = transport.pid;
    const began = Date.now();
    await client.close();
    ok(`${kind}: closes in time, without SIGTERM`, !alive(pid) && Date.now() - began < 1900, Date.now() - began);
  });
}

function options(kind, more) {
  return kind === 'SDK v1' ? [undefined, more] : [more];
}
function progress(kind, onprogress) {
  return options(kind, { onprogress });
}

for (const [kind, era] of [['SDK v1', 'legacy'], ['SDK v2, legacy', 'legacy'], ['SDK v2, modern', 'modern']]) {
  await attempt(`${kind}: fixture`, async () => {
    const { client } = await kinds[kind](front(NODE, FIXTURE, '--era', era, '--stdio'));
    const { tools } = await client.listTools();
    ok(`${kind}: the fixture's tools`, tools.some((t) => t.name === 'test_simple_text'), tools.length);
    const blocks = (await client.callTool({ name: 'test_multiple_content_types', arguments: {} })).content.map((c) => c.type);
    ok(`${kind}: the fixture's content`, blocks.join() === 'text,image,resource', blocks);
    await client.close();
  });
}

await attempt('two fronts', async () => {
  const pair = await Promise.all([kinds['SDK v1'](front(NOTES)), kinds['SDK v1'](front(NOTES))]);
  await text(pair[0].client, 'add_note', { text: 'mine' });
  ok('two fronts share nothing', (await text(pair[1].client, 'list_notes')) === 'no notes yet');
  await Promise.all(pair.map(({ client }) => client.close()));
});
process.exit(0);
