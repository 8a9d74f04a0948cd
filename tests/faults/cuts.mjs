// A response cut off at every byte of it, by FIN and by RST, JSON and SSE, on either side of the gateway. A call
// whose response was whole is a result, any other an error that says that the call may have run; the server ran
// each exactly once. CUT_STEP: not every byte but every so manieth (1; 5 where RST differs from FIN in the end alone).

import { assert, check, finish, httpFixture, httpPeer, serve } from '../sdk/rig.mjs';
import { MENUS, Tally, caller } from './callers.mjs';
import { faultProxy } from './proxy.mjs';

const STEP = Number(process.env.CUT_STEP ?? 1);
// Every call is broken: a breaker would keep them from the server.
const LIMITS = { timeouts: { connect_ms: 5000, list_ms: 8000, total_ms: 8000 }, breaker: { enabled: false } };
const peers = { json: await httpPeer('dual'), sse: await httpPeer('dual', '--sse') };

/** Calls at every place until one was whole behind it; judged by `verdict(outcome, exchange)`. */
async function everyByte(proxy, one, menu, fault, verdict) {
  const tally = new Tally();
  const step = fault === 'rst' ? Math.max(STEP, Number(process.env.CUT_STEP ?? 5)) : STEP;
  let n = 0;
  for (let whole = false; !whole; n += step) {
    await proxy.order(`next ${fault} ${n}`);
    const outcome = await one.call(MENUS[menu](`faulty-${fault}-${n}-`, 0));
    tally.count(outcome);
    const exchange = await proxy.last();
    verdict(outcome, exchange, `${fault} ${n}: ${JSON.stringify(outcome)}`);
    whole = exchange.fired === 0;
    assert.ok(n < 5000, 'an answer has an end');
  }
  assert.equal(tally.hangs + tally.wrong.length + tally.nameless.length, 0, String(tally));
  return { tally, bytes: n };
}
const executed = (peer) => peer.notes().filter((x) => x.event === 'call').length;

// ---------------------------------------------------------------------------------------------
// Between the gateway and its server

for (const [form, peer] of Object.entries(peers)) {
  for (const era of ['modern', 'legacy']) {
    for (const fault of ['cut', 'rst']) {
      await check(`server to gateway, ${form}, ${era}, ${fault} at every ${fault === 'rst' ? 'fifth byte' : 'byte'}`, async () => {
        const proxy = await faultProxy(peer.url, { match: 'faulty-' });
        const gateway = await serve({ mcpServers: { s: { url: proxy.url, gateway: LIMITS } } });
        const one = caller(gateway.url, era);
        const before = executed(peer);
        let results = 0;
        const { tally, bytes } = await everyByte(proxy, one, 'peer', fault, (outcome, exchange, text) => {
          if (outcome.result) {
            results++;
            return;
          }
          assert.equal(outcome.error?.name, 'OUTCOME_UNKNOWN', text);
          assert.notEqual(outcome.error.delivered, 'no', text);
          assert.equal(exchange.fired, 1, text);
          assert.equal(results, 0, `what is behind a whole answer does not make it less whole: ${text}`);
        });
        console.log(`# ${form}, ${era}, ${fault}: ${bytes} places, ${tally}`);
        assert.ok(results >= 1 && results < 12, `${results} results`);
        assert.equal(executed(peer) - before, tally.calls, 'each call ran once');
        await one.close();
        await gateway.stop();
        await proxy.stop();
      }, 60_000);
    }
  }
}

await check('server to gateway, a stream that can be resumed, cut at every byte', async () => {
  const resumable = await httpFixture('legacy');
  const proxy = await faultProxy(resumable.url, { match: 'faulty-' });
  const gateway = await serve({ mcpServers: { s: { url: proxy.url, gateway: LIMITS } } });
  const one = caller(gateway.url, 'legacy');
  let first = -1;
  const step = Math.max(STEP, 7); // each waits for the "retry:" of the server
  for (let n = 0, whole = false; !whole; n += step) {
    await proxy.order(`next cut ${n}`);
    const outcome = await one.call(MENUS.fixture(`faulty-${n}-`, 0));
    const text = `cut ${n}: ${JSON.stringify(outcome)}`;
    if (outcome.result && first < 0) first = n;
    if (!outcome.result) assert.equal(outcome.error?.name, 'OUTCOME_UNKNOWN', text);
    if (first >= 0) assert.ok(outcome.result, `an event id came before: ${text}`);
    whole = (await proxy.last()).fired === 0;
  }
  console.log(`# resumable: results from byte ${first} on`);
  await one.close();
  await gateway.stop();
  await proxy.stop();
  await resumable.stop();
}, 90_000);

// ---------------------------------------------------------------------------------------------
// Between the gateway and its client

for (const [form, peer] of Object.entries(peers)) {
  for (const era of ['modern', 'legacy']) {
    await check(`gateway to client, ${form}, ${era}, cut at every byte`, async () => {
      const gateway = await serve({ mcpServers: { s: { url: peer.url, gateway: LIMITS } } });
      const proxy = await faultProxy(gateway.url, { match: 'faulty-' });
      const one = caller(proxy.url, era);
      const before = executed(peer);
      const { tally, bytes } = await everyByte(proxy, one, 'peer', 'cut', (outcome, exchange, text) => {
        assert.ok(outcome.result || (outcome.broken && exchange.fired), text);
      });
      console.log(`# to the client, ${form}, ${era}: ${bytes} places, ${tally}`);
      assert.equal(executed(peer) - before, tally.calls, 'each call ran once');
      await one.close();
      const { code, late } = await gateway.stop();
      assert.ok(code === 0 && !late, `stop: code ${code}, late ${late}`);
      await proxy.stop();
    }, 60_000);
  }
}

for (const peer of Object.values(peers)) await peer.stop();
await finish();
