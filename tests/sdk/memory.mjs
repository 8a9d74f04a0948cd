// What a big result costs: 16 MiB through every pair of transports, with the gateway's memory watched from
// outside. A message is held once (DESIGN, section 4: at most its size + 2 MiB), and given back.

import { MCPGW, assert, check, finish, forgetPeak, httpPeer, memory, serve, sleep, stdioPeer, tempFile, until } from './rig.mjs';
import { Pipe, Wire, callBody, meta, modernHeaders, slowReader } from './wire.mjs';

const SIZE = 16 << 20;
const SLACK = 6 << 20; // what a single measurement may be off: allocator, socket buffers of curl
const MiB = (n) => `${(n / (1 << 20)).toFixed(1)} MiB`;

const peers = { json: await httpPeer('dual'), sse: await httpPeer('dual', '--sse') };
const pipePeer = stdioPeer('dual');
const mcpServers = {
  json: { url: peers.json.url },
  sse: { url: peers.sse.url },
  stdio: { command: pipePeer.command, args: pipePeer.args },
};

async function cost(pid, call) {
  for (let i = 0; i < 3; i++) await call(1 << 16); // warm
  await sleep(50);
  const before = memory(pid).VmRSS;
  forgetPeak(pid);
  assert.ok((await call(SIZE)) > SIZE, 'the result is whole');
  await sleep(200);
  const { VmHWM, VmRSS } = memory(pid);
  const figures = `peak ${MiB(VmHWM - before)}, left ${MiB(VmRSS - before)} over ${MiB(before)}`;
  assert.ok(VmHWM - before <= SIZE + SLACK, `too much: ${figures}`);
  assert.ok(VmRSS - before <= SLACK, `not given back: ${figures}`);
}

for (const upstream of Object.keys(mcpServers)) {
  for (const era of ['legacy', 'modern']) {
    await check(`16 MiB, HTTP client, ${upstream} upstream, ${era}`, async () => {
      const gateway = await serve({ mcpServers: { [upstream]: mcpServers[upstream] } });
      const wire = new Wire(gateway.url);
      if (era === 'legacy') await wire.initialize();
      let id = 0;
      await cost(gateway.pid, async (bytes) => {
        const params = { name: 'big', arguments: { bytes } };
        const reply = era === 'legacy' ? await wire.call(++id, 'big', { bytes }) : await wire.modern(++id, 'tools/call', params);
        if (!reply.json?.result) throw new Error(`${reply.status} ${reply.text.slice(0, 300)}`);
        return reply.bytes.length;
      });
      wire.close();
      await gateway.stop();
    });
  }
  await check(`16 MiB, stdio client, ${upstream} upstream`, async () => {
    const config = tempFile('one.json', JSON.stringify({ mcpServers: { [upstream]: mcpServers[upstream] } }));
    const pipe = new Pipe(MCPGW, ['stdio', config]);
    await pipe.initialize();
    let id = 0;
    await cost(pipe.child.pid, async (bytes) => {
      id++;
      return (await pipe.send(callBody(`m${id}`, 'big', { bytes }), `m${id}`)).length;
    });
    pipe.child.stdin.end();
  });
}
for (const upstream of ['json', 'stdio']) {
  await check(`four clients that do not read 8 MiB each, ${upstream} upstream`, async () => {
    const gateway = await serve({ mcpServers: { [upstream]: mcpServers[upstream] } });
    await new Wire(gateway.url).modern(1, 'tools/call', { name: 'big', arguments: { bytes: 1 << 16 } });
    const before = memory(gateway.pid).VmRSS;
    forgetPeak(gateway.pid);
    const body = callBody(1, 'big', { bytes: SIZE / 2 }, { _meta: meta() });
    const readers = [1, 2, 3, 4].map(() => slowReader(gateway.url, body, modernHeaders('tools/call', 'big')));
    await sleep(1000);
    const grown = memory(gateway.pid).VmHWM - before;
    assert.ok(grown > SIZE && grown <= 2 * SIZE + SLACK, `${MiB(grown)} for 4 of 8 MiB`);
    readers.forEach((r) => r.destroy());
    await until('all of it back', () => memory(gateway.pid).VmRSS - before <= SLACK, 2000);
    await gateway.stop();
  });
}
await finish();
