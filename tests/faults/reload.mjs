// SIGHUP under load: servers that did not change keep their contexts, links and state; one that was removed is
// drained; a bad file changes nothing. RELOAD_S: seconds (4).

import { writeFileSync } from 'node:fs';
import { MARK, assert, check, finish, httpPeer, notesServer, serve, sleep, stdioPeer, tempFile, until } from '../sdk/rig.mjs';
import { Wire } from '../sdk/wire.mjs';
import { MENUS, Tally, caller } from './callers.mjs';
import { keepers } from './keepers.mjs';

const SECONDS = Number(process.env.RELOAD_S ?? 4);
const peer = await httpPeer('dual');
const pipe = stdioPeer('dual');
const GATEWAY = { limits: { children: 200, concurrency: 200, queue: 200 } };
const SERVERS = {
  notes: { command: notesServer(), args: [MARK], gateway: GATEWAY },
  http: { url: peer.url, gateway: GATEWAY },
  pipe: { command: pipe.command, args: pipe.args, gateway: GATEWAY },
};
const { notes, http } = SERVERS;
const FEWER = { notes, http };
const text = (mcpServers, gateway = {}) => JSON.stringify({ mcpServers, gateway });
const GOOD = [text(SERVERS), text(FEWER), text(SERVERS, { heartbeat_ms: 7000 })];
const BAD = ['{', text(SERVERS, { no_such_key: 1 }), text({ notes: { command: 7 } }), ''];

const file = tempFile('reloaded.json', text(SERVERS));
const gateway = await serve([file]);
const at = (name) => `${gateway.base}/mcp/${name}`;
/** The next configuration, and the signal; the log tells when it was taken or refused. */
async function reload(content) {
  const before = gateway.child.errors.length;
  writeFileSync(file, content);
  gateway.child.kill('SIGHUP');
  const said = () => /"event":"(gateway\.reload[a-z._]*|config[a-z._]*)"/.exec(gateway.child.errors.slice(before))?.[1];
  return until('what the log says of it', said, 8000);
}

let over = false;
/** Calls without an end at one server; what fails is counted by name. */
async function traffic(name, kind, tally) {
  const one = caller(at(name), kind);
  for (let n = 0; !over; n++) {
    tally.count(await one.call(MENUS.peer(`${name}-${kind}-${n}`)));
    await sleep(5);
  }
  await one.close();
}

await check('reloads under load touch nothing that did not change', async () => {
  const [same, coming] = [new Tally(), new Tally()];
  const calls = ['legacy', 'modern', 'v1', 'v2-modern'].map((kind) => traffic('http', kind, same));
  calls.push(...['legacy', 'modern', 'legacy', 'modern'].map((kind) => traffic('pipe', kind, coming)));
  const { losses, tally } = await keepers('reload', at('notes'), 12, true, async () => {
    let [taken, refused] = [0, 0];
    for (const until_ms = Date.now() + SECONDS * 1000; Date.now() < until_ms; await sleep(60)) {
      await reload(GOOD[taken % GOOD.length]);
      taken++;
      await reload(BAD[refused++ % BAD.length]);
    }
    await reload(text(SERVERS));
    return `${taken + 1} files taken, ${refused} refused`;
  });
  const before = coming.results;
  await until('results of the server that came back', () => coming.results > before + 8, 10_000);
  over = true;
  await Promise.all(calls);
  console.log(`# reload, a server that stayed: ${same}`);
  console.log(`# reload, a server that came and went: ${coming}`);
  assert.deepEqual([losses, tally.errors], [0, {}], 'contexts of a server that stayed');
  assert.equal(same.results, same.calls, String(same));
  for (const t of [same, coming]) {
    assert.equal(t.hangs, 0);
    assert.deepEqual([...t.wrong, ...t.nameless].slice(0, 3), []);
  }
}, 60_000);

await check('what is in flight at a server that is removed ends well', async () => {
  const wire = new Wire(at('pipe'));
  await wire.initialize();
  const slow = wire.call(1, 'sleep', { ms: 1200 });
  await sleep(200);
  await reload(text(FEWER));
  const { json } = await slow;
  assert.equal(json?.result?.content[0].text, 'slept', JSON.stringify(json));
  const gone = await new Wire(at('pipe')).modern(1, 'tools/list');
  assert.equal(gone.status, 404, gone.text);
  await reload(text(SERVERS));
  assert.ok((await new Wire(at('pipe')).modern(1, 'tools/list')).json?.result);
}, 30_000);

const { code, late } = await gateway.stop();
await check('it stops in order', async () => assert.ok(code === 0 && !late, `code ${code}, late ${late}`));
await peer.stop();
await finish();
