// State stays where it was made: sessions on a server that remembers (examples/servers/notes.c) never see
// each other's notes, however many there are at once, and an id that is not one's own opens nothing.

import { ClientV1, ClientV2, HttpV1, HttpV2 } from '../conformance/sdk.mjs';
import { assert, check, finish, notesServer, serve, sleep } from './rig.mjs';
import { Wire } from './wire.mjs';

const program = notesServer();
const gateway = await serve({ mcpServers: { notes: { command: program }, other: { command: program } } });
const URLS = { all: gateway.url, one: `${gateway.base}/mcp/notes` };
const INFO = { name: 'isolation', version: '1' };

async function open(i, url) {
  const client = i % 2 ? new ClientV1(INFO) : new ClientV2(INFO, { versionNegotiation: { mode: 'legacy' } });
  await client.connect(new (i % 2 ? HttpV1 : HttpV2)(new URL(url)));
  return client;
}
const text = async (client, name, args = {}) => (await client.callTool({ name, arguments: args })).content[0].text;

async function keepsToItself(i, url, prefix) {
  const client = await open(i, url);
  try {
    const mine = [];
    for (let round = 0; round < 5; round++) {
      const note = `client ${i}, round ${round}`;
      await text(client, `${prefix}add_note`, { text: note });
      mine.push(note);
      await sleep((i * 7) % 20);
      assert.equal(await text(client, `${prefix}list_notes`), `${mine.join('\n')}\n`);
      const { contents } = await client.readResource({ uri: 'notes://all' });
      if (!prefix) assert.equal(contents[0].text, `${mine.join('\n')}\n`, 'as a resource');
    }
  } finally {
    await client.close();
  }
}

for (const n of [2, 20]) {
  await check(`${n} sessions at once, one server`, () =>
    Promise.all([...Array(n)].map((_, i) => keepsToItself(i, URLS.one, ''))), 30_000);
}
await check('20 sessions at once, two servers of one kind behind one endpoint', async () => {
  await Promise.all(
    [...Array(20)].map(async (_, i) => {
      const client = await open(i, URLS.all);
      await text(client, 'notes__add_note', { text: `a${i}` });
      await text(client, 'other__add_note', { text: `b${i}` });
      assert.equal(await text(client, 'notes__list_notes'), `a${i}\n`);
      assert.equal(await text(client, 'other__list_notes'), `b${i}\n`);
      await client.close();
    }),
  );
}, 30_000);

await check('a new session starts with nothing, an ended one is gone', async () => {
  const first = new Wire(URLS.one);
  await first.initialize();
  await first.call(1, 'add_note', { text: 'secret' });
  const id = first.session;
  await first.send(undefined, { method: 'DELETE' });
  const second = new Wire(URLS.one);
  await second.initialize();
  assert.notEqual(second.session, id);
  assert.equal((await second.call(1, 'list_notes', {})).json.result.content[0].text, 'no notes yet');
  second.session = id;
  assert.equal((await second.call(2, 'list_notes', {})).status, 404);
});

await check('session ids are not to be guessed', async () => {
  const wires = await Promise.all(
    [...Array(16)].map(async () => {
      const wire = new Wire(URLS.one);
      await wire.initialize();
      return wire;
    }),
  );
  const ids = wires.map((w) => w.session);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.every((id) => id.length >= 22), `${ids[0]} carries fewer than 128 bits`);
  const shared = ids.reduce((a, b) => {
    let n = 0;
    while (n < a.length && a[n] === b[n]) n++;
    return a.slice(0, n);
  });
  assert.ok(shared.length < 4, `all begin with ${shared}`);
  const elsewhere = new Wire(`${gateway.base}/mcp/other`);
  elsewhere.session = ids[0];
  assert.equal((await elsewhere.call(1, 'list_notes', {})).status, 404, 'at the endpoint of another server');
  await Promise.all(wires.map((w) => w.send(undefined, { method: 'DELETE' })));
});

await gateway.stop();
await finish();
