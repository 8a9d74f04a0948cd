// Clients that keep marks in their servers' memory and hold the gateway to its word: what was acknowledged is
// either still there, or was told to be lost (STATE_LOST) before anything else is answered.

import { assert, sleep, until } from '../sdk/rig.mjs';
import { Wire } from '../sdk/wire.mjs';
import { Tally, judge } from './callers.mjs';

const DEADLINE_MS = 15_000;

/** A client with a memory of its own of what its server must remember. */
export class Keeper {
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
export async function keepers(what, url, n, notes, harm) {
  const tally = new Tally();
  const all = [...Array(n)].map((_, i) => new Keeper(i, url, notes, tally));
  let stop = false;
  const ends = Promise.allSettled(all.map((k) => k.live(() => stop)));
  await until('the first results', () => all.every((k) => k.open && k.acked.length), 20_000);
  const harmed = await harm();
  const after = tally.results;
  const from = Date.now();
  await until('results after the harm', () => tally.results > after + n, 20_000);
  const well = Date.now() - from;
  stop = true;
  const failed = (await ends).filter((e) => e.status === 'rejected').map((e) => e.reason?.stack);
  const losses = all.reduce((s, k) => s + k.losses, 0);
  const lies = all.flatMap((k) => k.lies);
  console.log(`# ${what}: ${harmed}, well again after ${well} ms; ${losses} times STATE_LOST, ${lies.length} silent losses; ${tally}`);
  assert.deepEqual(lies.slice(0, 3), [], `${lies.length} lies`);
  assert.deepEqual(failed.slice(0, 2), [], `${failed.length} clients failed`);
  assert.equal(tally.hangs, 0);
  assert.deepEqual(tally.nameless.slice(0, 3), []);
  assert.deepEqual(tally.broken, {});
  return { tally, losses };
}
