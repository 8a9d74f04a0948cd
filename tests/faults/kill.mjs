// Servers killed, stopped and started anew under load. Clients keep marks in their servers' memory and hold the
// gateway to its word: what was acknowledged is either still there or was told to be lost (STATE_LOST) before
// anything else is answered; every call ends by its deadline; TERM of the gateway is in tests/sdk/faults.mjs.
// KILL_S: seconds a part (2).

import { readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { MARK, PEER, NODE, assert, check, end, finish, firstLine, httpPeer, marked, notesServer, run, serve, sleep, tempFile, until } from '../sdk/rig.mjs';
import { Wire } from '../sdk/wire.mjs';
import { Tally, judge } from './callers.mjs';

const SECONDS = Number(process.env.KILL_S ?? 2);
const DEADLINE_MS = 15_000;
const GATEWAY = {
  timeouts: { connect_ms: 8000, list_ms: 8000, total_ms: 1500 },
  limits: { children: 200, concurrency: 200, queue: 200 },
};
const program = notesServer();

/** A client with a memory of its own of what its server must remember. */
class Keeper {
  constructor(i, url, notes, tally) {
    Object.assign(this, { i, url, notes, tally, n: 0, acked: [], maybe: new Set(), told: false, lies: [], losses: 0 });
  }
  async #call(name, args) {
    const from = Date.now();
    const reply = this.wire.call(++this.n, name, args).catch((e) => ({ broken: e }));
    const got = await Promise.race([reply, sleep(DEADLINE_MS, { hang: true }, { ref: false })]);
    const ms = Date.now() - from;
    if (got.hang) this.tally.count({ hang: true, ms });
    else if (got.broken) this.tally.count({ broken: got.broken.code ?? got.broken.message, ms });
    else if (got.json?.result) this.tally.count({ result: true, ms });
    else this.tally.count({ error: got.json?.error ? judge(got.json.error) : { nameless: `HTTP ${got.status} ${got.text}` }, ms });
    const code = got.json?.error?.code;
    if (code === -31007) {
      this.told = true;
      this.losses++;
    }
    return got.json?.result?.content[0].text ?? (code === -31007 ? 'lost' : undefined);
  }
  /** Keeps a mark; what the server answers must contain all that it ever acknowledged. */
  async turn() {
    const mark = `tok-${this.i}-${++this.n}`;
    this.maybe.add(mark);
    const said = await this.#call(this.notes ? 'add_note' : 'keep', { text: mark });
    const all = this.notes && said !== undefined && said !== 'lost' ? await this.#call('list_notes', {}) : said;
    if (said === 'lost') this.maybe.delete(mark); // nothing was sent
    if (all === undefined || all === 'lost') return;
    const there = all === 'no notes yet' ? [] : all.split('\n').filter(Boolean);
    const missing = this.acked.filter((m) => !there.includes(m));
    if (missing.length && !this.told) this.lies.push(`client ${this.i}: ${missing.length} marks are gone and nobody said so`);
    if (there.some((m) => !m.startsWith(`tok-${this.i}-`))) this.lies.push(`client ${this.i} sees ${there}`);
    if (this.told && there.some((m) => this.acked.includes(m))) this.lies.push(`client ${this.i}: lost, it was told, but ${there}`);
    this.told = false;
    this.acked = there;
  }
  async live(over) {
    this.wire = new Wire(this.url, { sockets: 2 });
    await this.wire.initialize();
    this.open = true;
    while (!over()) {
      await this.turn();
      await sleep(5);
    }
    await this.wire.send(undefined, { method: 'DELETE' }).catch(() => {});
    this.wire.close();
  }
}

/** n keepers while `harm` goes on; then all must be well again. */
async function keepers(what, url, n, notes, harm) {
  const tally = new Tally();
  const all = [...Array(n)].map((_, i) => new Keeper(i, url, notes, tally));
  let stop = false;
  const ends = Promise.allSettled(all.map((k) => k.live(() => stop)));
  await until('the first results', () => all.every((k) => k.open && k.acked.length), 20_000);
  const harmed = await harm();
  const after = tally.results;
  await until('results after the harm', () => tally.results > after + n, 20_000);
  stop = true;
  const failed = (await ends).filter((e) => e.status === 'rejected').map((e) => e.reason?.stack);
  const losses = all.reduce((s, k) => s + k.losses, 0);
  const lies = all.flatMap((k) => k.lies);
  console.log(`# kill, ${what}: ${harmed}; ${losses} times STATE_LOST, ${lies.length} silent losses; ${tally}`);
  assert.deepEqual(lies.slice(0, 3), [], `${lies.length} lies`);
  assert.deepEqual(failed.slice(0, 2), [], `${failed.length} clients failed`);
  assert.equal(tally.hangs, 0);
  assert.deepEqual(tally.nameless.slice(0, 3), []);
  assert.deepEqual(tally.broken, {});
  return { tally, losses };
}

const isNotes = (pid) => {
  try {
    return readlinkSync(`/proc/${pid}/exe`).endsWith('/notes');
  } catch {
    return false;
  }
};
const children = () => marked().filter(isNotes);
const signal = (pid, name) => {
  try {
    process.kill(pid, name);
    return 1;
  } catch {
    return 0;
  }
};
const pick = (list) => list[Math.floor(Math.random() * list.length)];

await check('kill -9 of children under load', async () => {
  const gateway = await serve({ mcpServers: { notes: { command: program, args: [MARK], gateway: GATEWAY } } });
  const { losses } = await keepers('children killed', gateway.url, 16, true, async () => {
    let killed = 0;
    for (const over = Date.now() + SECONDS * 1000; Date.now() < over; await sleep(60)) {
      const pid = pick(children());
      if (pid) killed += signal(pid, 'SIGKILL');
    }
    return `${killed} children killed`;
  });
  assert.ok(losses > 2, 'too little happened');
  await gateway.stop();
}, 90_000);

await check('SIGSTOP of children under load, SIGCONT later', async () => {
  const gateway = await serve({ mcpServers: { notes: { command: program, args: [MARK], gateway: GATEWAY } } });
  const { tally } = await keepers('children stopped', gateway.url, 16, true, async () => {
    let stopped = 0;
    for (const over = Date.now() + SECONDS * 1000; Date.now() < over; await sleep(150)) {
      const pid = pick(children());
      if (!pid) continue;
      stopped += signal(pid, 'SIGSTOP');
      sleep(300 + Math.random() * 2500).then(() => signal(pid, 'SIGCONT'));
    }
    await sleep(3000);
    return `${stopped} children stopped`;
  });
  assert.ok(tally.errors.UPSTREAM_TIMEOUT > 0, 'nothing timed out');
  await gateway.stop();
}, 90_000);

await check('a stopped child is ended with its session', async () => {
  const gateway = await serve({ mcpServers: { notes: { command: program, args: [MARK] } } });
  const wire = new Wire(gateway.url);
  await wire.initialize();
  await wire.call(1, 'list_notes', {});
  const [pid] = children();
  signal(pid, 'SIGSTOP');
  await wire.send(undefined, { method: 'DELETE' });
  await until('its end', () => !children().includes(pid), 12_000);
  const { code, late } = await gateway.stop();
  assert.ok(code === 0 && !late, `code ${code}, late ${late}`);
}, 40_000);

// ---------------------------------------------------------------------------------------------
// HTTP upstreams

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}
async function peerAt(port, lost) {
  const args = [PEER, '--era', 'legacy', '--http', String(port), '--log', tempFile('peer.log', ''), '--mark', MARK, '--lost', lost];
  const child = run(NODE, args);
  await firstLine(child);
  return child;
}

for (const lost of ['404', '400', '200']) {
  await check(`an HTTP server killed and started anew under load, dead sessions answered with ${lost}`, async () => {
    const port = await freePort();
    let child = await peerAt(port, lost);
    const gateway = await serve({ mcpServers: { p: { url: `http://127.0.0.1:${port}/mcp`, gateway: GATEWAY } } });
    const { losses } = await keepers(`HTTP server killed, ${lost}`, gateway.url, 16, false, async () => {
      let killed = 0;
      for (const over = Date.now() + SECONDS * 1000; Date.now() < over; killed++) {
        child.kill('SIGKILL');
        await child.ended;
        await sleep(100);
        child = await peerAt(port, lost);
        await sleep(500);
      }
      return `${killed} times killed and started`;
    });
    assert.ok(losses >= 8, 'too little happened');
    await gateway.stop();
    await end(child);
  }, 90_000);
}

await check('SIGSTOP of an HTTP server in mid-call', async () => {
  const peer = await httpPeer('dual');
  const gateway = await serve({ mcpServers: { p: { url: peer.url, gateway: GATEWAY } } });
  const { tally } = await keepers('HTTP server stopped', gateway.url, 16, false, async () => {
    let stopped = 0;
    for (const over = Date.now() + SECONDS * 1000; Date.now() < over; stopped++) {
      peer.child.kill('SIGSTOP');
      await sleep(2000);
      peer.child.kill('SIGCONT');
      await sleep(300);
    }
    return `stopped ${stopped} times for 2 s`;
  });
  assert.ok(tally.errors.UPSTREAM_TIMEOUT > 0, 'nothing timed out');
  await gateway.stop();
  await peer.stop();
}, 90_000);

await finish();
