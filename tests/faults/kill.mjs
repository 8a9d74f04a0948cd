// Servers killed, stopped and started anew under load: what was acknowledged is not lost in silence, and every call
// ends by its deadline (keepers.mjs). TERM of the gateway is in tests/sdk/faults.mjs. KILL_S: seconds a part (2).

import { readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { MARK, PEER, NODE, assert, check, end, finish, firstLine, httpPeer, marked, notesServer, run, serve, sleep, tempFile, until } from '../sdk/rig.mjs';
import { Wire } from '../sdk/wire.mjs';
import { keepers } from './keepers.mjs';

const SECONDS = Number(process.env.KILL_S ?? 2);
const GATEWAY = {
  timeouts: { connect_ms: 8000, list_ms: 8000, total_ms: 1500 },
  limits: { children: 200, concurrency: 200, queue: 200 },
};
const program = notesServer();

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
  const { losses } = await keepers('kill, children killed', gateway.url, 16, true, async () => {
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
  const { tally } = await keepers('kill, children stopped', gateway.url, 16, true, async () => {
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
    const { losses } = await keepers(`kill, HTTP server killed, ${lost}`, gateway.url, 16, false, async () => {
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
  const { tally } = await keepers('kill, HTTP server stopped', gateway.url, 16, false, async () => {
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
