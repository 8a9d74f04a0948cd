// How old a list may be: servers whose tools change every 50 ms, told of or not, with ttlMs 0, 1,000 or none, in
// both eras, over stdio and HTTP, alone and among others, restarts included. A list says by its tool's name when
// it was true; the age is how long that had ended when the client asked. It may be as old as ttlMs lets it be
// (a legacy server that tells: as old as its word takes to arrive), and no older.

import { join } from 'node:path';
import { CONFORMANCE, MARK, NODE, assert, check, end, finish, firstLine, notesServer, run, serve, sleep, until } from './rig.mjs';
import { Wire } from './wire.mjs';

const SERVER = join(CONFORMANCE, 'changing.mjs');
const EVERY = 50;
const SLACK = 25; // clocks are one; a timer and a turn are not
const WORD = 3000; // a word on its way, on a loaded machine
const from = Date.now() - 60_000;

const args = (era, epoch, { ttl, tell }) => [
  SERVER, '--era', era, '--from', `${from}`, '--every', `${EVERY}`, '--epoch', `${epoch}`, '--mark', MARK,
  ...(ttl === undefined ? [] : ['--ttl', `${ttl}`]), ...(tell ? ['--tell'] : []),
];

/** One list: { epoch, age } of the changing server's tool. */
async function look(client, era) {
  const asked = Date.now();
  const reply = era === 'legacy' ? await client.ask(1, 'tools/list', {}) : await client.modern(1, 'tools/list');
  const tools = reply.json?.result?.tools;
  assert.ok(tools, `${reply.status} ${reply.text.slice(0, 300)}`);
  const hit = tools.map((t) => /(?:^|__)v(\d+)_(\d+)$/.exec(t.name)).find(Boolean);
  if (!hit) return undefined;
  return { epoch: Number(hit[1]), age: asked - (from + (Number(hit[2]) + 1) * EVERY), ttl: reply.json.result.ttlMs };
}

async function clients(url, era, n) {
  return Promise.all(
    [...Array(n)].map(async () => {
      const client = new Wire(url);
      if (era === 'legacy') await client.initialize();
      return client;
    }),
  );
}

const bound = (era, { ttl = 0, tell }, how) => (era === 'legacy' && tell && how === 'stdio' ? WORD : ttl) + SLACK;
let seen = 0;
const worst = [];

async function watch(url, era, kind, how, ms) {
  const all = await clients(url, era, 4);
  await look(all[0], era); // the server is up from here on: its start is not part of the time
  const until_ms = Date.now() + ms;
  const ages = [];
  await Promise.all(
    all.map(async (client, i) => {
      while (Date.now() < until_ms) {
        const one = await look(client, era);
        assert.ok(one, 'the server is in the list');
        if (one.ttl !== undefined) assert.ok(one.ttl <= (kind.ttl ?? 0), `ttlMs ${one.ttl} downstream`);
        if (one.ttl > 0) assert.ok(one.age + one.ttl <= (kind.ttl ?? 0) + SLACK, `it is ${one.age} old and said to be good for ${one.ttl}`);
        ages.push(one.age);
        await sleep(5 + i * 7);
      }
    }),
  );
  all.forEach((c) => c.close());
  seen += ages.length;
  return ages;
}

const KINDS = [{}, { tell: true }, { ttl: 0 }, { ttl: 1000 }, { ttl: 1000, tell: true }];
const other = { command: notesServer() };
for (const era of ['legacy', 'modern']) {
  for (const kind of KINDS.filter((k) => era === 'modern' || k.ttl === undefined)) {
    for (const how of ['stdio', 'http']) {
      const title = `${era}, ${how}, ttlMs ${kind.ttl ?? 'none'}, ${kind.tell ? 'told' : 'not told'}`;
      await check(title, async () => {
        let http;
        let entry = { command: NODE, args: [...args(era, 1, kind), '--stdio'] };
        if (how === 'http') {
          http = run(NODE, [...args(era, 1, kind), '--http', '0']);
          entry = { type: 'http', url: await firstLine(http) };
        }
        const gateway = await serve({ mcpServers: { changing: entry, other } });
        try {
          for (const url of [`${gateway.base}/mcp/changing`, gateway.url]) {
            const ages = await watch(url, era, kind, how, 500);
            const max = Math.max(...ages);
            worst.push(`${title}${url.endsWith('/changing') ? '' : ', among others'}: ${ages.length} lists, oldest ${max} ms`);
            assert.ok(ages.length > 10, `only ${ages.length} lists`);
            assert.ok(max <= bound(era, kind, how), `a list was ${max} ms old; allowed are ${bound(era, kind, how)}`);
          }
        } finally {
          await gateway.stop();
          if (http) await end(http);
        }
      });
    }
  }
}

await check('a restarted server is another: its old list goes with it', async () => {
  for (const era of ['legacy', 'modern']) {
    let http = run(NODE, [...args(era, 1, { ttl: 300 }), '--http', '0']);
    const url = await firstLine(http);
    const gateway = await serve({ mcpServers: { changing: { type: 'http', url }, other } });
    try {
      const [client] = await clients(gateway.url, era, 1);
      assert.equal((await look(client, era)).epoch, 1);
      await end(http, 'SIGKILL');
      http = run(NODE, [...args(era, 2, { ttl: 300 }), '--http', new URL(url).port]);
      await firstLine(http);
      const back = Date.now();
      await until('the new list', async () => (await look(client, era))?.epoch === 2, 12_000);
      worst.push(`${era}, restarted: seen after ${Date.now() - back} ms`);
      for (let i = 0; i < 10; i++) assert.notEqual((await look(client, era))?.epoch, 1, 'and the old one never again');
      client.close();
    } finally {
      await gateway.stop();
      await end(http);
    }
  }
}, 40_000);

for (const line of worst) console.log(`# ${line}`);
console.log(`# ${seen} lists`);
await finish();
