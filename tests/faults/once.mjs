// Keyed calls over everything at once: connections to the server break, and the gateway itself is killed (-9) and
// started anew on the same state. Clients repeat a call with its key until they know what became of it. Whatever
// happens, no call runs twice, and what was acknowledged is answered again, in the same words. ONCE_S: seconds (5).

import { join } from 'node:path';
import { TMP, assert, check, finish, httpPeer, serve, sleep } from '../sdk/rig.mjs';
import { Wire } from '../sdk/wire.mjs';
import { judge } from './callers.mjs';
import { faultProxy, faultsOf } from './proxy.mjs';

const SECONDS = Number(process.env.ONCE_S ?? 5);
const PLAN = 'early=60,cutreq=60,late=80,cut=120,rst=80,mute=20,delay=40';
const peer = await httpPeer('dual');
const proxy = await faultProxy(peer.url, { seed: 5, plan: PLAN, span: 500, ms: 300, match: 'once-' });
const config = {
  mcpServers: {
    p: { url: proxy.url, gateway: { timeouts: { connect_ms: 5000, list_ms: 5000, total_ms: 2000 }, limits: { concurrency: 64 }, breaker: { enabled: false } } },
  },
  gateway: { state_dir: join(TMP, 'once') },
};
let gateway = await serve(config);
const [known, unknown, nameless] = [new Map(), new Set(), []];
const count = { calls: 0, repeats: 0, broken: 0, restarts: 0 };

/** One exchange: { text } of a result, { error }, or { broken }. */
async function ask(wire, era, id, n) {
  count.calls++;
  const params = { name: 'count', arguments: { n, ms: 3 }, idempotencyKey: `key-${n}` };
  const reply = era === 'modern' ? wire.modern(id, 'tools/call', params) : wire.call(id, 'count', params.arguments, { idempotencyKey: params.idempotencyKey });
  const got = await Promise.race([reply, sleep(15_000, { hang: true }, { ref: false })]).catch((e) => ({ broken: e.code ?? e.message }));
  if (got.hang) nameless.push(`${n}: a hang`);
  if (got.json?.result) return { text: got.json.result.content[0].text };
  if (got.json?.error) return { error: judge(got.json.error), status: got.status };
  return { broken: got.broken ?? `HTTP ${got.status}` };
}

async function worker(w, over) {
  const era = w % 2 ? 'modern' : 'legacy';
  let wire;
  for (let k = 0; !over(); k++) {
    const n = `once-${w}-${k}`;
    for (let attempt = 0; attempt < 60; attempt++) {
      if (attempt > 0) count.repeats++;
      if (!wire) {
        wire = new Wire(gateway.url, { sockets: 1 });
        if (era === 'legacy') await wire.initialize().catch(() => (wire = undefined));
        if (!wire) {
          await sleep(50);
          continue;
        }
      }
      const got = await ask(wire, era, attempt + 1, n);
      if (got.text !== undefined) {
        known.set(n, got.text);
        break;
      }
      if (got.error?.name === 'OUTCOME_UNKNOWN') {
        unknown.add(n);
        break;
      }
      if (got.error?.nameless) nameless.push(got.error.nameless);
      if (got.broken || got.error?.name === 'CONTEXT_ENDED') {
        count.broken++;
        wire.close();
        wire = undefined;
      }
      await sleep(20);
    }
  }
  wire?.close();
}

const runs = () => {
  const times = new Map();
  for (const { event, n } of peer.notes()) if (event === 'count') times.set(n, (times.get(n) ?? 0) + 1);
  return times;
};

await check('no call runs twice, and what was acknowledged stays', async () => {
  let over = false;
  const workers = Promise.all([...Array(10)].map((_, w) => worker(w, () => over)));
  for (const until = Date.now() + SECONDS * 1000; Date.now() < until; count.restarts++) {
    await sleep(900);
    gateway.child.kill('SIGKILL');
    await gateway.child.ended;
    gateway = await serve(config);
  }
  await sleep(500);
  over = true;
  await workers;
  await proxy.order('plan ');
  const times = runs();
  const twice = [...times].filter(([, t]) => t > 1);
  const lost = [...known.keys()].filter((n) => !times.has(n));
  const wire = new Wire(gateway.url);
  const again = [];
  for (const [n, text] of [...known].slice(-200)) {
    const got = await ask(wire, 'modern', 1, n);
    if (got.text !== text) again.push(`${n}: ${JSON.stringify(got)}`);
  }
  const after = [...runs()].filter(([, t]) => t > 1);
  const faults = Object.entries(faultsOf(await proxy.tally())).filter(([, v]) => v).map(([k, v]) => `${k} ${v}`).join(', ');
  console.log(
    `# once: ${known.size} calls acknowledged, ${unknown.size} OUTCOME_UNKNOWN, ${count.calls} sent (${count.repeats} repeats), gateway killed ` +
      `${count.restarts} times, faults: ${faults}; run twice ${twice.length + after.length}, acknowledged without having run ${lost.length}, ` +
      `replayed otherwise ${again.length}`,
  );
  assert.deepEqual([twice.slice(0, 3), after.slice(0, 3), lost.slice(0, 3), again.slice(0, 3), nameless.slice(0, 3)], [[], [], [], [], []]);
  assert.ok(known.size > 50 && count.restarts > 1 && count.repeats > 10, 'too little happened');
  wire.close();
}, 90_000);

await gateway.stop();
await proxy.stop();
await peer.stop();
await finish();
