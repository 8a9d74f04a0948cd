// The official suite against one server of three behind a gateway, while twenty other clients call all of
// them: the scores must be those of a quiet day. Compared with the baselines like through.sh.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClientV1, ClientV2, HttpV1, HttpV2 } from '../conformance/sdk.mjs';
import { CONFORMANCE, NODE, TMP, assert, check, finish, httpFixture, notesServer, run, serve, sleep, stdioFixture } from './rig.mjs';

const dual = await httpFixture('dual');
const gateway = await serve({
  mcpServers: {
    notes: { command: notesServer(), gateway: { limits: { children: 64 } } },
    dual: { url: dual.url, gateway: { limits: { concurrency: 64 } } },
    old: { ...stdioFixture('legacy'), gateway: { limits: { children: 64 } } },
  },
});

// ---------------------------------------------------------------------------------------------
// The crowd

const INFO = { name: 'crowd', version: '1' };
let busy = true;
const tally = { calls: 0, failures: [] };

const USES = {
  notes: (client, i, n) => ['add_note', { text: `${i}/${n}` }, `note ${n + 1}`],
  dual: () => ['test_simple_text', {}, 'This is a simple text response for testing.'],
  old: () => ['test_simple_text', {}, 'This is a simple text response for testing.'],
};

async function member(i) {
  const server = ['notes', 'dual', 'dual', 'old'][i % 4];
  const url = new URL(`${gateway.base}/mcp/${server}`);
  const modern = server === 'dual' && i % 2 === 0;
  const mode = modern ? { pin: '2026-07-28' } : 'legacy';
  const client = i % 3 ? new ClientV2(INFO, { versionNegotiation: { mode } }) : new ClientV1(INFO);
  await client.connect(i % 3 ? new HttpV2(url) : new HttpV1(url));
  for (let n = 0; busy && n < 900; n++) {
    const [name, args, expected] = USES[server](client, i, n);
    try {
      const { content } = await client.callTool({ name, arguments: args });
      assert.equal(content[0].text, expected);
      tally.calls++;
    } catch (error) {
      tally.failures.push(`${server}: ${error.message}`);
    }
    await sleep(40 + ((i * 13 + n * 7) % 60));
  }
  await client.transport.terminateSession?.();
  await client.close();
}
const crowd = Promise.allSettled([...Array(20)].map((_, i) => member(i)));
await check('the crowd is there', async () => {
  for (let i = 0; i < 150 && tally.calls < 60; i++) await sleep(100);
  assert.ok(tally.calls >= 60, `${tally.calls} calls; ${tally.failures[0]}`);
});

// ---------------------------------------------------------------------------------------------
// The suite

async function output(command, args) {
  const child = run(command, args, { env: { NODE } });
  let text = '';
  child.stdout.on('data', (d) => (text += d));
  const { code } = await child.ended;
  await sleep(20);
  return { code, text };
}

/** What allowed.txt permits in a cell. */
function allowances(cell) {
  const lines = readFileSync(join(CONFORMANCE, 'allowed.txt'), 'utf8').split('\n');
  const rules = lines.filter((l) => l && !l.startsWith('#')).map((l) => l.split(/\s+/));
  const matches = (pattern) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(cell);
  return rules.filter(([, cells]) => matches(cells)).flatMap(([what]) => ['--allow', what]);
}

const CELLS = [
  ['dual', 'http', 'dual', '2025-06-18', 27],
  ['dual', 'http', 'dual', '2025-11-25', 33],
  ['dual', 'http', 'dual', '2026-07-28', 40],
  ['old', 'stdio', 'legacy', '2025-06-18', 27],
  ['old', 'stdio', 'legacy', '2025-11-25', 33],
];
for (const [server, kind, era, revision, scenarios] of CELLS) {
  await check(`/mcp/${server}, ${revision}: ${scenarios} of ${scenarios} amid the crowd`, async () => {
    const out = join(TMP, `${server}-${revision}`);
    const suite = await output(join(CONFORMANCE, 'run.sh'), [`${gateway.base}/mcp/${server}`, revision, out]);
    const bad = suite.text.split('\n').filter((l) => /^(fail|     )/.test(l)).join('; ');
    assert.equal(suite.text.trim().split('\n').at(-1), `${scenarios} passed, 0 failed`, bad);
    const baseline = join(CONFORMANCE, `baselines/${era}-${revision}.json`);
    const args = [join(CONFORMANCE, 'compare.mjs'), baseline, out, ...allowances(`${kind}-${era}-${revision}`)];
    const { code, text } = await output(NODE, args);
    assert.equal(code, 0, text);
  }, 60_000);
}

await check('nobody of the crowd had a failure', async () => {
  busy = false;
  const ends = await crowd;
  const gone = ends.filter((e) => e.status === 'rejected').map((e) => e.reason.message);
  assert.deepEqual([...gone, ...tally.failures].slice(0, 3), [], `${tally.calls} calls, ${tally.failures.length} failed`);
  assert.ok(tally.calls > 300, `only ${tally.calls} calls`);
});
await gateway.stop();
await dual.stop();
await finish();
