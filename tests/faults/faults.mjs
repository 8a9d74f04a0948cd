// The fault proxy on either side of the gateway, real servers and real clients at the ends: every call ends
// with a result of its own or an error with a name within its deadline. FAULT_CALLS: how many broken calls
// (600; make soak: 5,000); FAULT_S: not longer than so many seconds a part (14).

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CONFORMANCE, MARK, NODE, assert, check, finish, httpFixture, httpPeer, run, serve, sleep, until } from '../sdk/rig.mjs';
import { MENUS, Tally, caller } from './callers.mjs';
import { faultProxy, faultsOf } from './proxy.mjs';

const CALLS = Number(process.env.FAULT_CALLS ?? 600);
const SECONDS = Number(process.env.FAULT_S ?? 14);
const SEED = Number(process.env.FAULT_SEED ?? 20261126);

/** server-everything by HTTP; it cannot choose a port itself. */
async function everything() {
  const program = join(CONFORMANCE, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
  for (let i = 0; i < 5; i++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const child = run(NODE, [program, 'streamableHttp', MARK], { env: { PORT: String(port) } });
    const up = await until('its start', () => child.exitCode !== null || /listening|running/.test(child.errors), 20_000).catch(() => 0);
    if (up && child.exitCode === null) return { child, url: `http://127.0.0.1:${port}/mcp` };
    child.kill();
  }
  throw new Error('server-everything does not start');
}

const servers = {
  old: { menu: 'fixture', kinds: ['legacy', 'v1', 'v2', 'legacy'], ...(await httpFixture('legacy')) },
  new: { menu: 'fixture', kinds: ['modern', 'v2-modern', 'modern'], ...(await httpFixture('modern')) },
  every: { menu: 'everything', kinds: ['legacy', 'v2', 'v1'], ...(await everything()) },
  raw: { menu: 'peer', kinds: ['legacy', 'modern', 'v2-modern', 'v1'], ...(await httpPeer('dual', '--sse')) },
};
const LIMITS = {
  timeouts: { connect_ms: 2000, list_ms: 3000, total_ms: 2000 },
  limits: { concurrency: 512, queue: 1024, children: 64 },
};
const GATEWAY = { heartbeat_ms: 500, resume_ms: 6000 };
const fds = (pid) => readdirSync(`/proc/${pid}/fd`).length;

/** Workers at each server until enough calls were broken; resolves with the tally of all of them. */
async function crowd(urlOf, broken, workers = 12) {
  const tallies = { wire: new Tally(), sdk: new Tally() };
  const from = Date.now();
  let over = false;
  let number = 0;
  const worker = async (i) => {
    const [key, server] = Object.entries(servers)[i % 4];
    const kind = server.kinds[Math.floor(i / 4) % server.kinds.length];
    const family = /^v/.test(kind) ? 'sdk' : 'wire';
    const one = caller(urlOf(key, family), kind);
    while (!over) {
      const n = ++number;
      tallies[family].count(await one.call(MENUS[server.menu](`faulty-${n}-`, n)));
      if (n % 40 === 0) await one.close();
    }
    await one.close();
  };
  const all = Promise.all([...Array(workers * 4)].map((_, i) => worker(i)));
  while (!over) {
    await sleep(100);
    over = (await broken()) >= CALLS / 3 || Date.now() - from > SECONDS * 1000;
  }
  await all;
  return { ...tallies, seconds: (Date.now() - from) / 1000 };
}

const sum = (o) => Object.values(o).reduce((a, b) => a + b, 0);
async function countFaults(proxies) {
  const total = {};
  for (const p of proxies) {
    for (const [k, v] of Object.entries(faultsOf(await p.tally()))) total[k] = (total[k] ?? 0) + v;
  }
  return total;
}
function sound(what, tally, faults, seconds) {
  const list = Object.entries(faults).map(([k, v]) => `${k} ${v}`).join(', ');
  console.log(`# ${what}: ${sum(faults)} faults (${list}) in ${seconds.toFixed(1)} s; ${tally}`);
  for (const story of tally.stories.slice(0, 20)) console.log(`# ${what}, ${story}`);
  assert.equal(tally.hangs, 0, `${tally.hangs} hangs`);
  assert.ok(!/refused with/.test(Object.keys(tally.broken)), 'a stream that the gateway forgot too early');
  assert.deepEqual(tally.wrong.slice(0, 3), [], 'wrong results');
  assert.deepEqual(tally.nameless.slice(0, 3), [], 'errors without a name');
  assert.ok(sum(faults) > 20 && tally.calls > 40, `too little happened: ${tally}`);
}

/** Connections of clients that the gateway still has (established, or closed by the client alone). */
function clientsAt(gateway) {
  const port = Number(new URL(gateway.url).port).toString(16).toUpperCase().padStart(4, '0');
  const rows = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1).map((l) => l.trim().split(/\s+/));
  return rows.filter(([, local, , state]) => local?.endsWith(`:${port}`) && ['01', '08'].includes(state)).length;
}
/** When the clients are gone nothing of theirs is left. What stays: connections to servers, of which libcurl keeps
 * 256 at most in each of its two pools (lib/http/client_priv.h); soak.mjs looks whether they stay that few. */
async function quiet(gateway, before) {
  await until('the end of the last connection', () => clientsAt(gateway) === 0, 20_000).catch((e) => {
    throw new Error(`${e.message}: ${clientsAt(gateway)} are open`);
  });
  const now = fds(gateway.pid);
  assert.ok(now <= before + 2 * 256 + 16, `${now} descriptors, ${before} before`);
}

// ---------------------------------------------------------------------------------------------
// Between the gateway and its servers

const CALL_PLAN = 'early=70,cutreq=50,drop=40,late=70,cut=140,rst=100,mute=30,halfopen=40,delay=70,drip=60,dup=120';
const ALL_PLAN = 'early=20,cutreq=15,drop=5,late=15,cut=40,rst=30,mute=4,halfopen=6,delay=20,drip=20,dup=30';

async function upstreamSide(what, plan, match) {
  // With most calls broken a breaker would keep nearly all of them from the proxy.
  const extra = match ? { ...LIMITS, breaker: { enabled: false } } : LIMITS;
  const proxies = {};
  for (const [key, { url }] of Object.entries(servers)) {
    proxies[key] = await faultProxy(url, { seed: SEED + key.length, plan, span: 600, ms: 2500, ...(match && { match }) });
  }
  const mcpServers = Object.fromEntries(Object.entries(proxies).map(([k, p]) => [k, { url: p.url, gateway: extra }]));
  const gateway = await serve({ mcpServers, gateway: GATEWAY });
  const before = fds(gateway.pid);
  const broken = async () => sum(await countFaults(Object.values(proxies)));
  const { wire, sdk, seconds } = await crowd((key) => `${gateway.base}/mcp/${key}`, broken);
  sound(what, wire.plus(sdk), await countFaults(Object.values(proxies)), seconds);
  // Nothing connects a client and the gateway but a clean socket: none of them may break.
  assert.deepEqual([wire.broken, sdk.broken], [{}, {}], 'connections of clients that broke');
  await quiet(gateway, before);
  const { code, late } = await gateway.stop();
  assert.ok(code === 0 && !late, `stop: code ${code}, late ${late}`);
  for (const p of Object.values(proxies)) await p.stop();
}

await check('between gateway and servers, calls broken', () => upstreamSide('calls', CALL_PLAN, 'faulty-'), SECONDS * 1000 + 60_000);
await check('between gateway and servers, anything broken', () => upstreamSide('anything', ALL_PLAN), SECONDS * 1000 + 60_000);

// ---------------------------------------------------------------------------------------------
// Between clients and the gateway

await check('between clients and gateway', async () => {
  const mcpServers = Object.fromEntries(Object.entries(servers).map(([k, s]) => [k, { url: s.url, gateway: LIMITS }]));
  const gateway = await serve({ mcpServers, gateway: GATEWAY });
  const before = fds(gateway.pid);
  const options = { seed: SEED, plan: CALL_PLAN, span: 900, ms: 2500, match: 'faulty-', hold: 1500 };
  const proxies = { wire: await faultProxy(gateway.url, options), sdk: await faultProxy(gateway.url, options) };
  const broken = async () => sum(await countFaults(Object.values(proxies)));
  const urlOf = (key, family) => `${new URL(proxies[family].url).origin}/mcp/${key}`;
  const { wire, sdk, seconds } = await crowd(urlOf, broken);
  const faults = { wire: await countFaults([proxies.wire]), sdk: await countFaults([proxies.sdk]) };
  // What the proxy swallows nobody can answer; it resets it in the end, so even there no call may hang.
  for (const [family, tally] of Object.entries({ wire, sdk })) sound(`clients, ${family}`, tally, faults[family], seconds);
  await quiet(gateway, before);
  const { code, late } = await gateway.stop();
  assert.ok(code === 0 && !late, `stop: code ${code}, late ${late}`);
  await Promise.all(Object.values(proxies).map((p) => p.stop()));
}, SECONDS * 1000 + 60_000);

for (const { child } of Object.values(servers)) child.kill();
await finish();
