// 200 clients at once over servers that remember, each with marks of its own ("tok-17-…") in all it says; nobody
// may ever read another's. They drop connections in mid-call, come back, take turns at ended, forged and foreign
// session ids and event ids, and cancel what is not theirs. LEAK_CLIENTS (200), LEAK_ROUNDS (4), LEAK_SEED.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { BUILD, MARK, MCPGW, TMP, assert, check, finish, httpPeer, notesServer, run, serve, sleep, stdioPeer, tempFile, until } from '../sdk/rig.mjs';
import { Wire, callBody, meta, modernHeaders, note } from '../sdk/wire.mjs';

const CLIENTS = Number(process.env.LEAK_CLIENTS ?? 200);
const ROUNDS = Number(process.env.LEAK_ROUNDS ?? 4);
const SEED = Number(process.env.LEAK_SEED ?? 3);
const PATIENCE_MS = 40_000;

/** mulberry32: small and repeatable. */
function dice(seed) {
  let a = seed >>> 0;
  return (n) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

const HANDLE = 'dev.mcpgw/context';
const tally = () => ({ bytes: 0, leaks: [], wrong: [], done: {}, ended: 0, foreign: 0 });

/** One client, of a kind: { notes: the server is examples/servers/notes.c, else peer.mjs; own: its state there is its
 * own; modern; deaf: its log messages name no request; handles: modern, with handles; elsewhere: an endpoint where its session id opens nothing }. Everything it receives is looked through for
 * marks that are not its own. */
class Client {
  constructor(i, kind, url, all) {
    Object.assign(this, { i, kind, url, all, roll: dice(SEED * 1000 + i), sure: [], maybe: new Set(), n: 0, lastEvent: undefined });
    this.mine = new RegExp(`^tok-${i}-`);
  }
  mark() {
    return `tok-${this.i}-${++this.n}`;
  }
  look(bytes) {
    const text = bytes?.toString('latin1') ?? '';
    this.all.bytes += text.length;
    for (const [found] of text.matchAll(/tok-\d+-\d+/g)) {
      if (!this.mine.test(found)) this.all.leaks.push(`client ${this.i} saw ${found}`);
    }
  }
  did(what) {
    this.all.done[what] = (this.all.done[what] ?? 0) + 1;
  }
  async open() {
    this.wire = new Wire(this.url, { sockets: 4 });
    if (!this.kind.modern) await this.wire.initialize();
    this.handle = undefined;
    [this.sure, this.maybe] = [[], new Set()];
    this.did('session');
  }
  async exchange(body, options) {
    const x = await this.wire.open(body, options);
    x.on((e) => {
      if (e.id) this.lastEvent = e.id;
      this.look(e.data);
    });
    const whole = await x.body;
    this.look(whole);
    const last = x.events.filter((e) => e.data?.length).at(-1)?.data ?? whole;
    const json = last?.length ? JSON.parse(last.toString()) : undefined;
    this.handle = json?.result?._meta?.[HANDLE] ?? this.handle;
    return { status: x.status, json, events: x.events };
  }
  /** A call as it goes out: [body, options]. Modern ones count from 1 in each client, too. */
  order(name, args, _meta) {
    const id = ++this.n;
    if (this.kind.handles && this.handle) _meta = { ..._meta, [HANDLE]: this.handle };
    if (this.kind.modern) return [callBody(id, name, args, { _meta: meta(_meta) }), { headers: modernHeaders('tools/call', name) }];
    return [callBody(id, name, args, _meta && { _meta }), {}];
  }
  call(...what) {
    return this.exchange(...this.order(...what));
  }
  text(reply, what) {
    const text = reply.json?.result?.content?.[0]?.text;
    if (text === undefined) throw new Error(`client ${this.i}, ${what}: ${reply.status} ${JSON.stringify(reply.json)}`);
    return text;
  }

  // What the server knows of this session, by its kind.
  async kept() {
    const reply = this.kind.notes ? await this.call('list_notes', {}) : await this.call('keep', {});
    const text = this.text(reply, 'kept');
    return text === 'no notes yet' ? [] : text.split('\n').filter(Boolean);
  }
  keeping(mark) {
    if (!this.kind.own) return this.order('echo', { mark });
    return this.kind.notes ? this.order('add_note', { text: mark }) : this.order('keep', { text: mark });
  }
  /** The state is what this session put there: all that is sure, in order, and of what was cut off any. */
  async audit(when) {
    if (!this.kind.own) return;
    const got = await this.kept();
    const sure = got.filter((m) => !this.maybe.has(m));
    if (JSON.stringify(sure) !== JSON.stringify(this.sure)) {
      this.all.wrong.push(`client ${this.i}, ${when}: ${sure.slice(0, 5)} for ${this.sure.slice(0, 5)}`);
    }
    this.did('audit');
  }

  // What it does.
  async keeps() {
    const mark = this.mark();
    this.text(await this.exchange(...this.keeping(mark)), 'keep');
    this.sure.push(mark);
  }
  async manyAtOnce() {
    if (this.kind.notes) return this.keeps();
    const marks = [1, 2, 3].map(() => this.mark());
    const echoes = await Promise.all(marks.map((mark) => this.call('echo', { mark })));
    echoes.forEach((e, k) => {
      if (e.json?.result?.structuredContent?.mark !== marks[k]) this.all.wrong.push(`client ${this.i}: an echo of ${marks[k]}`);
    });
    return undefined;
  }
  /** Progress under the token every other client uses too, and a log message. */
  async talks() {
    if (this.kind.notes) return this.keeps();
    const mark = this.mark();
    const slept = await this.call('sleep', { ms: 60, step_ms: 20 }, { progressToken: 0 });
    const steps = slept.events.filter((e) => e.data?.includes('notifications/progress')).map((e) => JSON.parse(e.data).params);
    const right = steps.length === 2 && steps.every((p, k) => p.progressToken === 0 && p.progress === k + 1);
    if (!right) this.all.wrong.push(`client ${this.i}: progress ${JSON.stringify(steps)}`);
    if (this.kind.deaf === 'mute') return undefined; // what it logs is for everybody who shares it
    const said = await this.call('say', { mark }, this.kind.modern && { 'io.modelcontextprotocol/logLevel': 'debug' });
    if (!this.kind.deaf && !said.events.some((e) => e.data?.includes(mark) && e.data.includes('notifications/message'))) {
      this.all.wrong.push(`client ${this.i}: its log message did not come`);
    }
    return undefined;
  }
  /** Goes away in the middle of a call: it may be carried out, or not. */
  async cutsOff() {
    const mark = this.mark();
    this.maybe.add(mark);
    const pending = this.wire.open(...this.keeping(mark)).catch(() => {});
    await sleep(this.roll(4));
    this.wire.agent.destroy();
    await pending;
    const { session, revision } = this.wire;
    this.wire = Object.assign(new Wire(this.url, { sockets: 4 }), { session, revision });
    return this.audit('after a cut');
  }
  async ends() {
    if (this.kind.handles) return this.startsAnew();
    if (this.kind.modern) return this.manyAtOnce();
    const { session } = this.wire;
    await this.exchange(undefined, { method: 'DELETE' });
    await this.open();
    await this.audit('a new session starts with nothing');
    const old = Object.assign(new Wire(this.url), { session, revision: this.wire.revision });
    const { status } = await old.call(1, this.kind.notes ? 'list_notes' : 'pid', {});
    if (status === 404) this.all.ended++;
    else this.all.wrong.push(`client ${this.i}: an ended session answered ${status}`);
    old.close();
    return undefined;
  }
  /** Without its handle it finds nothing; with it, all of it again. */
  async startsAnew() {
    await this.audit('before');
    const { handle, sure, maybe } = this;
    await this.open();
    await this.audit('without a handle');
    await this.keeps();
    Object.assign(this, { handle, sure, maybe });
    await this.audit('with the old handle again');
  }
  /** Handles that nobody was given: another's with a change, of another gateway, of a context that was ended. */
  async forges(other) {
    const theirs = other.handle ?? this.handle ?? 'x'.repeat(90);
    const at = this.roll(theirs.length);
    const changed = theirs.slice(0, at) + (theirs[at] === 'A' ? 'B' : 'A') + theirs.slice(at + 1);
    for (const forged of [changed, theirs.slice(1), ...this.kind.strangers]) {
      const own = this.handle;
      this.handle = forged;
      const { json } = await this.call('list_notes', {});
      if (json?.error?.code === -31008) this.all.foreign++;
      else this.all.wrong.push(`client ${this.i}: a forged handle got ${JSON.stringify(json)}`);
      this.handle = own;
    }
  }
  /** Ids that are not its own: forged, and another's, at an endpoint where that one has no business. */
  async pries(others) {
    const other = others[this.roll(others.length)];
    if (this.kind.handles) return this.forges(other);
    if (this.kind.modern) return this.talks();
    const theirs = other.wire?.session ?? 'x';
    const forged = theirs.replace(/.$/, (c) => (c === 'a' ? 'b' : 'a'));
    for (const [url, session] of [[this.url, forged], [this.kind.elsewhere, theirs]]) {
      const spy = Object.assign(new Wire(url), { session, revision: '2025-11-25' });
      const x = await spy.open(callBody(1, this.kind.notes ? 'list_notes' : 'pid', {}));
      this.look(await x.body);
      if (x.status === 404) this.all.foreign++;
      else this.all.wrong.push(`client ${this.i}: a foreign session id answered ${x.status}`);
      spy.close();
    }
    if (other.lastEvent && other !== this) {
      const x = await this.wire.open(undefined, { method: 'GET', headers: { 'Last-Event-ID': other.lastEvent } });
      x.on((e) => this.look(e.data));
      if (x.status === 200) await sleep(30);
      else this.all.foreign++;
      x.destroy();
    }
    await this.exchange(note('notifications/cancelled', { requestId: other.n }));
    return undefined;
  }

  async live(others) {
    await this.open();
    for (let round = 0; round < ROUNDS; round++) {
      const acts = [() => this.keeps(), () => this.manyAtOnce(), () => this.talks(), () => this.cutsOff(), () => this.pries(others), () => this.ends()];
      const act = this.roll(acts.length);
      await acts[act]();
      this.did(['keep', 'parallel', 'progress and log', 'cut off', 'pry', 'end'][act]);
      if (this.roll(3) === 0) await this.audit('in between');
    }
    await this.audit('at the end');
    if (!this.kind.modern) await this.exchange(undefined, { method: 'DELETE' });
    this.wire.close();
  }
}

async function crowd(what, kind, url) {
  const all = await lives(what, kind, url, CLIENTS);
  assert.deepEqual(all.leaks.slice(0, 3), [], `${all.leaks.length} leaks`);
  assert.deepEqual(all.broken.slice(0, 2), [], `${all.broken.length} clients failed`);
  assert.deepEqual(all.wrong.slice(0, 3), [], `${all.wrong.length} wrong`);
  assert.ok(all.bytes > CLIENTS * 100 && ((kind.modern && !kind.handles) || all.foreign > CLIENTS / 4), 'too little happened');
}

async function lives(what, kind, url, count) {
  const all = tally();
  const clients = [...Array(count)].map((_, i) => new Client(i, kind, url, all));
  const ends = await Promise.allSettled(
    clients.map((c, i) =>
      Promise.race([
        sleep((i % 20) * 10).then(() => c.live(clients)),
        sleep(PATIENCE_MS, undefined, { ref: false }).then(() => Promise.reject(new Error(`client ${i} hangs`))),
      ]),
    ),
  );
  all.broken = ends.filter((l) => l.status === 'rejected').map((l) => l.reason?.stack ?? l.reason);
  const done = Object.entries(all.done).map(([k, n]) => `${k} ${n}`).join(', ');
  console.log(
    `# leak, ${what}: ${count} clients: ${done}; ${(all.bytes / 1024).toFixed(0)} KiB looked through, ended ids refused ` +
      `${all.ended}, forged and foreign ids refused ${all.foreign}; leaks ${all.leaks.length}, wrong state ${all.wrong.length}`,
  );
  return all;
}

// ---------------------------------------------------------------------------------------------

const peer = await httpPeer('legacy', '--sse');
const shared = { http: await httpPeer('modern', '--sse'), stdio: stdioPeer('modern') };
const old = { http: await httpPeer('legacy', '--sse'), stdio: stdioPeer('legacy') };
const LIMITS = { limits: { children: 1000, concurrency: 1000, queue: 1000 }, timeouts: { connect_ms: 30_000 } };
const program = notesServer();
const gateway = await serve({
  mcpServers: {
    notes: { command: program, gateway: LIMITS },
    http: { url: peer.url, gateway: LIMITS },
    other: { command: program, gateway: LIMITS },
    'modern-http': { url: shared.http.url, gateway: LIMITS },
    ...Object.fromEntries(
      ['principal', 'shared'].flatMap((isolation) => [
        [`${isolation}-http`, { url: old.http.url, gateway: { ...LIMITS, isolation } }],
        [`${isolation}-stdio`, { command: old.stdio.command, args: old.stdio.args, gateway: { ...LIMITS, isolation } }],
      ]),
    ),
    'modern-stdio': { command: shared.stdio.command, args: shared.stdio.args, gateway: LIMITS },
  },
});
const at = (name) => `${gateway.base}/mcp/${name}`;
const elsewhere = at('other');

await check('stdio, a context of its own each', () => crowd('stdio, session', { notes: true, own: true, elsewhere }, at('notes')), 100_000);
await check('legacy HTTP, a context of its own each', () => crowd('legacy HTTP, session', { own: true, elsewhere }, at('http')), 100_000);
await check('afterwards no upstream session is open', async () => {
  const count = (event) => peer.notes().filter((n) => n.event === event).length;
  await until('a DELETE for each', () => count('delete') >= count('initialize'), 10_000).catch((e) => {
    throw new Error(`${e.message}: ${count('initialize')} opened, ${count('delete')} closed`);
  });
});
for (const kind of ['http', 'stdio']) {
  await check(`modern ${kind}, one link for all`, () => crowd(`modern ${kind}, shared`, { modern: true, deaf: kind === 'stdio' }, at(`modern-${kind}`)), 100_000);
}
for (const isolation of ['principal', 'shared']) {
  await check(`legacy HTTP, isolation ${isolation}`, () => crowd(`legacy HTTP, ${isolation}`, { elsewhere }, at(`${isolation}-http`)), 100_000);
  await check(`legacy stdio, isolation ${isolation}`, () => crowd(`legacy stdio, ${isolation}`, { elsewhere, deaf: 'mute' }, at(`${isolation}-stdio`)), 100_000);
}
await check('a link that is shared is one', async () => {
  const sessions = old.http.notes().filter((n) => n.event === 'initialize').length;
  const processes = old.stdio.notes().filter((n) => n.event === 'start').length;
  console.log(`# leak, 800 sessions on shared legacy links: ${sessions} upstream sessions, ${processes} processes`);
  assert.ok(sessions >= 2 && sessions <= 40 && processes >= 2 && processes <= 8, 'one a principal, or one in all');
});
await check('modern, with handles, a context of its own each', async () => {
  const server = { command: program, gateway: { ...LIMITS, isolation: 'session' } };
  const settings = { contexts: { no_handle: 'fresh' }, admin: { listen: `unix:${join(TMP, 'admin')}` } };
  const file = tempFile('handles.json', JSON.stringify({ mcpServers: { notes: server }, gateway: settings }));
  const [one, other] = [await serve([file]), await serve({ mcpServers: { notes: server }, gateway: { contexts: { no_handle: 'fresh' } } })];
  const kind = { notes: true, own: true, modern: true, handles: true, strangers: [] };
  const guest = async (url) => {
    const client = new Client(0, kind, url, tally());
    await client.open();
    await client.keeps();
    return client.handle;
  };
  kind.strangers = [await guest(other.url), await guest(one.url)];
  for (const line of execFileSync(MCPGW, ['sessions', 'ls', file], { encoding: 'utf8' }).trim().split('\n')) {
    execFileSync(MCPGW, ['sessions', 'revoke', file, line.split('\t')[0]]);
  }
  await crowd('modern, handles', kind, one.url);
  await one.stop();
  await other.stop();
}, 100_000);
await check('callers in one process, sessions, principals and handles', async () => {
  const own = (isolation) => ({ url: old.http.url, gateway: { ...LIMITS, isolation } });
  const notes = { command: program, gateway: { ...LIMITS, isolation: 'session' } };
  const mcpServers = { session: own('session'), principal: own('principal'), shared: own('shared'), notes };
  const file = tempFile('principals.json', JSON.stringify({ mcpServers, gateway: { contexts: { no_handle: 'fresh' } } }));
  const child = run(join(BUILD, 'principals'), [file, join(BUILD, 'mcpgw-launch'), MARK]);
  child.stdout.pipe(process.stdout);
  const { code } = await child.ended;
  assert.equal(code, 0, child.errors.slice(0, 1500));
}, 200_000);
await check('this rig sees a leak where there is one', async () => {
  const all = await lives('modern http, state that is shared on purpose', { modern: true, own: true }, at('modern-http'), 5);
  assert.ok(all.leaks.length > 0 && all.wrong.length > 0, JSON.stringify(all));
});
const { code, late } = await gateway.stop();
await check('it stops in order', async () => assert.ok(code === 0 && !late, `code ${code}, late ${late}`));
await peer.stop();
await shared.http.stop();
await old.http.stop();
await finish();
