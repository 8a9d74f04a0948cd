// Mixed traffic with faults for SOAK_S seconds (600): both eras, HTTP and stdio servers, SDKs and plain clients,
// streams, sessions that come and go, children that are killed. After every SOAK_ROUND_S (60) all clients leave and
// the gateway is weighed: memory, descriptors, children and connections must be what they were after the first
// round; before the first and the last weighing the processes of sessions that were cut off have ended.
// No call may hang, not even behind the fault proxy: what that swallows it resets after HOLD_MS, so what then
// has no end is the gateway's. `make soak` runs it; CI does not. SOAK_SEED, SOAK_PLAN: of the proxy in front.

import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { MARK, assert, check, finish, httpFixture, httpPeer, marked, memory, notesServer, serve, sleep, stdioFixture, stdioPeer, until } from '../sdk/rig.mjs';
import { Wire, meta, modernHeaders, rpc } from '../sdk/wire.mjs';
import { MENUS, Tally, caller } from './callers.mjs';
import { faultProxy, faultsOf } from './proxy.mjs';

const SECONDS = Number(process.env.SOAK_S ?? 600);
const ROUND = Math.min(Number(process.env.SOAK_ROUND_S ?? 60), Math.max(5, SECONDS / 3));
const PLAN = 'early=15,cutreq=10,drop=4,late=15,cut=40,rst=30,mute=4,halfopen=4,delay=20,drip=20,dup=30';
const HOLD_MS = 2500; // longer than a call may take
const DEADLINE_MS = 20_000; // of a call behind faults: initialize, its stream and two resumptions may each be held
const RESUME_MS = 10_000; // longer than all of that, so that no stream is forgotten that a client asks for
const SHARED = 4; // processes of the two modern stdio servers, which stay: each has a launcher
const MiB = (n) => (n / (1 << 20)).toFixed(1);

const http = { old: await httpFixture('legacy'), new: await httpFixture('modern'), raw: await httpPeer('dual', '--sse') };
const proxies = {};
for (const [key, { url }] of Object.entries(http)) proxies[key] = await faultProxy(url, { seed: key.length, plan: PLAN, ms: 1500, hold: 2 * HOLD_MS });
const extra = {
  timeouts: { connect_ms: 3000, list_ms: 3000, total_ms: 2000 },
  limits: { concurrency: 256, queue: 512, children: 128 },
};
const peer = stdioPeer('dual');
const mcpServers = {
  ...Object.fromEntries(Object.entries(proxies).map(([k, p]) => [k, { url: p.url, gateway: extra }])),
  pipe: { command: peer.command, args: peer.args, gateway: extra },
  sdk: { ...stdioFixture('dual'), gateway: extra },
  notes: { command: notesServer(), args: [MARK], gateway: extra },
};
const gateway = await serve({ mcpServers, gateway: { heartbeat_ms: 500, resume_ms: RESUME_MS, sse_after_ms: 200, contexts: { idle_ms: RESUME_MS + 2000 } } });
const front = await faultProxy(gateway.url, { seed: process.env.SOAK_SEED ?? 99, plan: process.env.SOAK_PLAN ?? PLAN, ms: 1500, hold: HOLD_MS });
const at = (key, faulty) => `${faulty ? new URL(front.url).origin : gateway.base}/mcp/${key}`;

// ---------------------------------------------------------------------------------------------
// Who comes

const notesMenu = (mark, n) =>
  n % 2
    ? { method: 'tools/call', params: { name: 'add_note', arguments: { text: mark } }, is: (r) => /note/.test(r.content[0].text) }
    : { method: 'tools/call', params: { name: 'list_notes', arguments: {} }, is: (r) => Array.isArray(r.content) };
/** [server, menu, kinds of clients] */
const CROWD = [
  ['old', MENUS.fixture, ['legacy', 'v1', 'v2']],
  ['new', MENUS.fixture, ['modern', 'v2-modern']],
  ['raw', MENUS.peer, ['legacy', 'modern', 'v1']],
  ['pipe', MENUS.peer, ['modern', 'v2-modern']],
  ['sdk', MENUS.fixture, ['modern']],
  ['notes', notesMenu, ['legacy', 'legacy', 'v1']],
];
let over = false;
let number = 0;

async function member(key, menu, kind, faulty, tally) {
  const one = caller(at(key, faulty), kind, faulty ? DEADLINE_MS : undefined);
  for (let n = 0; !over; n++) {
    tally.count(await one.call(menu(`soak-${++number}-`, number)));
    if (n % 15 === 14) await one.close();
    await sleep(5);
  }
  await one.close();
}

/** Streams that are opened, held for a while and left, in both eras. */
async function listener(tally) {
  while (!over) {
    const wire = new Wire(at('raw', false));
    try {
      await wire.initialize();
      const get = await wire.open(undefined, { method: 'GET' });
      await sleep(700);
      get.destroy();
      await wire.send(undefined, { method: 'DELETE' });
      const filter = { notifications: { toolsListChanged: true }, _meta: meta() };
      const modern = new Wire(at('new', false));
      const listen = await modern.open(rpc('l', 'subscriptions/listen', filter), { headers: modernHeaders('subscriptions/listen') });
      await sleep(700);
      listen.destroy();
      modern.close();
      tally.streams += 2;
    } catch {
      await sleep(100); // the server behind it is out of reach for the moment
    }
    wire.close();
  }
}

const isNotes = (pid) => {
  try {
    return readlinkSync(`/proc/${pid}/exe`).endsWith('/notes');
  } catch {
    return false; // it went by itself
  }
};
async function killer(tally) {
  while (!over) {
    await sleep(1500);
    const children = marked().filter(isNotes);
    try {
      process.kill(children[Math.floor(Math.random() * children.length)], 'SIGKILL');
      tally.killed++;
    } catch {
      // there is none, or it went by itself
    }
  }
}

// ---------------------------------------------------------------------------------------------

const tcp = () => readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1).map((l) => l.trim().split(/\s+/)).filter((r) => r[1]);
function reach(url) {
  const port = Number(new URL(url).port).toString(16).toUpperCase().padStart(4, '0');
  return tcp().filter(([, local, , state]) => local.endsWith(`:${port}`) && ['01', '08'].includes(state));
}
const connections = () => reach(gateway.url).length;
/** Whose the other ends of the connections to it are. */
function guests(url) {
  const rows = tcp();
  const owner = (inode) =>
    readdirSync('/proc').filter((d) => /^\d+$/.test(d)).find((pid) => {
      try {
        return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
      } catch {
        return false;
      }
    });
  return reach(url).map(([, , remote, state]) => {
    const other = rows.find((r) => r[1] === remote);
    const pid = other && owner(other[9]);
    return `${state}/${other?.[3]} ${pid === String(front.child.pid) ? 'the proxy' : pid === String(process.pid) ? 'a client' : pid}`;
  });
}
const own = [http.old, http.new, http.raw, front, ...Object.values(proxies)].map((x) => x.child.pid);
const children = () => marked().filter((pid) => pid !== gateway.pid && !own.includes(pid)).length;
/** How many of its descriptors are connections to servers: what its pools keep of them is another matter. */
function pooled(links) {
  const ports = Object.values(proxies).map((p) => Number(new URL(p.url).port));
  const to = tcp().filter(([, , remote]) => ports.includes(parseInt(remote.split(':')[1], 16)));
  const inodes = new Set(to.map((r) => `socket:[${r[9]}]`));
  return links.filter((l) => inodes.has(l)).length;
}
function weigh() {
  const links = readdirSync(`/proc/${gateway.pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${gateway.pid}/fd/${fd}`)];
    } catch {
      return []; // closed since
    }
  });
  const pool = pooled(links);
  return { rss: memory(gateway.pid).VmRSS, fds: links.length - pool, pool, children: children(), connections: connections() };
}
const told = (w) =>
  `RSS ${MiB(w.rss)} MiB, ${w.fds} descriptors and ${w.pool} connections to servers, ${w.children} processes, ${w.connections} client connections`;
/** A session whose client never learned its id (the answer was cut off) ends after a minute; the servers, Node's, close
 * idle connections after 5 s. */
async function settled() {
  await until('the end of the last session', () => children() <= SHARED, 90_000);
  await sleep(7000);
}

async function round(seconds, tallies) {
  over = false;
  const here = new Set();
  const comes = (name, life) => {
    here.add(name);
    return life.finally(() => here.delete(name));
  };
  const all = [];
  for (const [key, menu, kinds] of CROWD) {
    for (const [i, kind] of kinds.entries()) {
      for (const faulty of [false, true]) all.push(comes(`${key} ${kind} ${i} ${faulty}`, member(key, menu, kind, faulty, tallies[faulty])));
    }
  }
  for (const i of [1, 2]) all.push(comes(`listener ${i}`, listener(tallies.more)));
  all.push(comes('killer', killer(tallies.more)));
  await sleep(seconds * 1000);
  over = true;
  const stuck = sleep(60_000, undefined, { ref: false }).then(() => Promise.reject(new Error(`still here: ${[...here].join(', ')}`)));
  await Promise.race([Promise.all(all), stuck]);
  // An SDK waits five minutes for a swallowed notification: what still hangs in the proxy is cut off.
  await sleep(1000);
  await front.order('reset');
  await until('the end of the last connection', () => connections() === 0, 30_000).catch(async (e) => {
    throw new Error(`${e.message}: ${guests(gateway.url).join(', ')}; at the proxy: ${guests(front.url).join(', ')}; pairs: ${await Promise.race([front.order('pairs'), sleep(5000, 'no answer')])}`);
  });
}

await check(`${SECONDS} s of mixed traffic with faults`, async () => {
  const tallies = { false: new Tally(), true: new Tally(), more: { streams: 0, killed: 0 } };
  const start = weigh();
  console.log(`# soak, start: ${told(start)}`);
  const weights = [];
  for (const rounds = Math.max(2, Math.round(SECONDS / ROUND)); weights.length < rounds; ) {
    await round(ROUND, tallies);
    if (weights.length === 0 || weights.length === rounds - 1) await settled();
    weights.push(weigh());
    const calls = tallies.false.calls + tallies.true.calls;
    console.log(`# soak, ${weights.length} rounds of ${ROUND} s, ${calls} calls: ${told(weights.at(-1))}`);
  }
  let faults = {};
  for (const p of [front, ...Object.values(proxies)]) {
    for (const [k, v] of Object.entries(faultsOf(await p.tally()))) faults[k] = (faults[k] ?? 0) + v;
  }
  console.log(`# soak, faults: ${Object.entries(faults).map(([k, v]) => `${k} ${v}`).join(', ')}; ${tallies.more.killed} children killed, ${tallies.more.streams} streams`);
  console.log(`# soak, clients connected cleanly: ${tallies.false}`);
  console.log(`# soak, clients behind faults: ${tallies.true}`);
  for (const t of [tallies.false, tallies.true]) {
    for (const what of [...t.stories, ...t.wrong, ...t.nameless].slice(0, 20)) console.log(`# soak, ${what}`);
  }
  assert.deepEqual([tallies.false.hangs, tallies.true.hangs], [0, 0], 'hangs');
  for (const t of [tallies.false, tallies.true]) {
    const refused = Object.keys(t.broken).filter((name) => /refused/.test(name));
    assert.deepEqual(refused, [], 'streams that the gateway forgot too early');
    assert.deepEqual(t.wrong.slice(0, 3), [], 'wrong results');
    assert.deepEqual(t.nameless.slice(0, 3), [], 'errors without a name');
  }
  const [first, last] = [weights[0], weights.at(-1)];
  assert.ok(last.rss <= first.rss * 1.15 + (4 << 20), `memory grew from ${MiB(first.rss)} to ${MiB(last.rss)} MiB`);
  assert.ok(last.fds <= first.fds + 4, `descriptors grew from ${first.fds} to ${last.fds}`);
  assert.ok(last.pool <= first.pool + 16, `connections to servers grew from ${first.pool} to ${last.pool}`);
  for (const w of [first, last]) assert.ok(w.children <= SHARED && w.connections === 0, told(w));
}, (SECONDS + 120) * 1500);
const { code, late } = await gateway.stop('SIGTERM', 15_000);
await check('it stops in order', async () => assert.ok(code === 0 && !late, `code ${code}, late ${late}`));
for (const p of [front, ...Object.values(proxies)]) await p.stop();
for (const s of Object.values(http)) await s.stop();
await finish();
