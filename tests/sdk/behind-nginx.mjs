// The client of nginx.sh: a long call and its progress through a proxy that buffers and gives up after 3 s.
// Argument: BUILD; the proxy's URL is in BEHIND.

import { ClientV1, ClientV2, HttpV1, HttpV2 } from '../conformance/sdk.mjs';
import { assert, check } from './rig.mjs';
import { Wire, meta, modernHeaders, rpc } from './wire.mjs';

const all = process.env.BEHIND;
const url = `${all}/peer`;
let failed = 0;
const log = console.log;
console.log = (line) => {
  if (line.startsWith('not ok')) failed++;
  log(line);
};
const INFO = { name: 'behind-nginx', version: '1' };
const LONG = { name: 'sleep', arguments: { ms: 6000 } };

async function long(client, ...options) {
  const started = Date.now();
  const { content } = await client.callTool(LONG, ...options);
  assert.equal(content[0].text, 'slept');
  assert.ok(Date.now() - started >= 5900);
}

await Promise.all([
  check('SDK 1, a silent call of 6 s', async () => {
    const client = new ClientV1(INFO);
    await client.connect(new HttpV1(new URL(url)));
    await long(client).finally(() => client.close());
  }),
  check('SDK 2 modern, a silent call of 6 s', async () => {
    const client = new ClientV2(INFO, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    await client.connect(new HttpV2(new URL(url)));
    await long(client).finally(() => client.close());
  }),
  check('an idle GET stream of 6 s', async () => {
    const wire = new Wire(url);
    await wire.initialize();
    const channel = await wire.open(undefined, { method: 'GET' });
    let ended = false;
    channel.body.then(() => (ended = true), () => (ended = true));
    await new Promise((done) => setTimeout(done, 6000));
    assert.equal(ended, false, 'the proxy cut it');
    channel.destroy();
    wire.close();
  }),
  check('a silent subscription of 6 s', async () => {
    const wire = new Wire(all);
    const body = rpc(1, 'subscriptions/listen', { notifications: { toolsListChanged: true }, _meta: meta() });
    const started = Date.now();
    const stream = await wire.open(body, { headers: modernHeaders('subscriptions/listen') });
    assert.ok(Date.now() - started < 2500, 'the first byte came late');
    let ended = false;
    stream.body.then(() => (ended = true), () => (ended = true));
    await new Promise((done) => setTimeout(done, 6000));
    assert.equal(ended, false, 'the proxy cut it');
    assert.ok(stream.events.filter((e) => e.comment).length >= 4, 'its heart stood still');
    assert.equal(stream.status, 200);
    stream.destroy();
    wire.close();
  }),
  check('SDK 2 listens for 6 s and hears', async () => {
    const client = new ClientV2(INFO, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    const seen = [];
    client.setNotificationHandler('notifications/tools/list_changed', () => void seen.push(1));
    await client.connect(new HttpV2(new URL(`${all}/fixture`)));
    await client.listen({ toolsListChanged: true });
    await new Promise((done) => setTimeout(done, 6000));
    assert.equal(seen.length, 0);
    await client.callTool({ name: 'test_trigger_tool_change', arguments: {} });
    for (let i = 0; i < 100 && !seen.length; i++) await new Promise((done) => setTimeout(done, 20));
    assert.equal(seen.length, 1);
    await client.close();
  }),
  check('progress is not held back', async () => {
    const wire = new Wire(url);
    await wire.initialize();
    const seen = [];
    const params = { name: 'sleep', arguments: { ms: 2000, step_ms: 400 }, _meta: { progressToken: 1 } };
    const started = Date.now();
    const exchange = await wire.open(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }));
    exchange.on((e) => e.data?.includes('progress') && seen.push(Date.now() - started));
    await exchange.body;
    assert.equal(seen.length, 4);
    seen.forEach((ms, i) => assert.ok(Math.abs(ms - 400 * (i + 1)) < 300, `progress at ${seen}`));
    wire.close();
  }),
]);
process.exit(failed ? 1 : 0);
