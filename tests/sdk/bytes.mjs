// Byte honesty: what a caller writes as arguments reaches the server as it was written, and what the
// server answers reaches the caller likewise. Compared are bytes, never parsed values. Every upstream
// (HTTP answered as JSON or as a stream, stdio) meets every downstream (HTTP, stdio) in both eras.

import { createHash } from 'node:crypto';
import { dig } from './json-spans.mjs';
import { MCPGW, assert, check, finish, httpPeer, serve, stdioPeer, tempFile } from './rig.mjs';
import { Pipe, Wire, meta, modernHeaders } from './wire.mjs';

const deep = (n) => '{"a":'.repeat(n) + '[]' + '}'.repeat(n);
const KiB = 1024;

// Name, arguments as written.
const CORPUS = [
  ['a tenth', '{"v":0.1}'],
  ['a trailing zero', '{"v":1.10,"w":-1.0E+2,"x":1e2}'],
  ['beyond double', '{"v":1E400,"w":-1e-999}'],
  ['2^63', '{"v":9223372036854775808}'],
  ['2^64-1', '{"v":18446744073709551615,"w":-9223372036854775809}'],
  ['200 digits', `{"v":${'1234567890'.repeat(20)}}`],
  ['minus zero', '{"v":-0,"w":-0.0}'],
  ['an escaped NUL', '{"v":"a\\u0000b","\\u0000":1}'],
  ['an escaped solidus', '{"v":"a\\/b","a\\/b":"/"}'],
  ['surrogate pairs', '{"v":"\\ud83d\\ude00","w":"\u{1f600}","\\uD83D\\uDE00":1}'],
  ['escapes one could write plainly', '{"v":"\\u0041\\u00e9\\u00E9é","\\u0076":2}'],
  ['every short escape', '{"v":"\\b\\f\\n\\r\\t\\"\\\\"}'],
  ['U+2028, U+FEFF, DEL', '{"v":"\u2028\u2029\ufeff\u007f"}'],
  ['odd white space', ' {\t "v" :\t[ ]  , "w":{  } ,"x" : "  " \t}'],
  ['duplicate keys', '{"a":1,"a":{"a":2,"a":3},"a":[]}'],
  ['names of the envelope', '{"id":1,"method":"x","jsonrpc":"1.0","params":{},"_meta":{"progressToken":9},"name":"n","result":{}}'],
  ['names of prototypes', '{"__proto__":{"x":1},"constructor":null}'],
  ['nothing', '{}'],
  ['100 levels', deep(100)],
  ['a string of a MiB', `{"v":"${'\\u00e9é\\\\ab\\"'.repeat((KiB * KiB) / 16)}"}`],
  ['100,000 numbers', `{"v":[${Array.from({ length: 100_000 }, (_, i) => `${i}.0`).join(' ,')}]}`],
  ['line breaks', '\n{\n  "v" :\r\n 1 ,\r"w": [\n]\n}\n'],
];

// Where a hop has a framing of lines, a break between tokens may become another white space.
const loose = (text) => text.replace(/[\r\n ]+/g, ' ').trim();
const hash = (text) => createHash('sha256').update(text).digest('hex');

function compare(what, got, sent, exact) {
  if (got === undefined) throw new Error(`${what}: nothing there`);
  const [a, b] = exact ? [got.toString(), sent] : [loose(got.toString()), loose(sent)];
  if (a === b) return;
  let at = 0;
  while (a[at] === b[at]) at++;
  throw new Error(`${what}: byte ${at}: ${a.slice(at - 20, at + 40)} instead of ${b.slice(at - 20, at + 40)}`);
}

let counter = 0;
const body = (id, name, args, metaText) =>
  `{"jsonrpc":"2.0","id":"${id}","method":"tools/call","params":{"name":"${name}","arguments":${args}${metaText}}}`;
const META_TEXT = `,"_meta":${JSON.stringify(meta({ 'io.modelcontextprotocol/logLevel': 'debug' }))}`;

/** One call; resolves with all messages as bytes, the answer last. */
const overHttp = (wire, era) => async (name, args) => {
  const headers = era === 'modern' ? modernHeaders('tools/call', name) : {};
  const text = body(`b${++counter}`, name, args, era === 'modern' ? META_TEXT : '');
  const exchange = await wire.open(text, { headers });
  const whole = await exchange.body;
  const events = exchange.events.map((e) => e.data).filter((d) => d?.length);
  return events.length ? events : [whole];
};
const overPipe = (pipe, era) => async (name, args) => {
  const from = pipe.lines.length;
  const id = `b${++counter}`;
  await pipe.send(body(id, name, args.replace(/[\r\n]/g, ' '), era === 'modern' ? META_TEXT : ''), id);
  return pipe.lines.slice(from);
};

const digest = (message) => JSON.parse(dig(message, 'result', 'content').toString())[0].text;

/** upstream and downstream: json, sse or stdio. */
async function honest(ask, upstream, downstream, era) {
  const failures = [];
  for (const [title, args] of CORPUS) {
    // A stream's framing has lines, too; `say` makes one of every HTTP answer.
    const plain = !/[\r\n]/.test(args);
    for (const tool of ['echo', 'say']) {
      try {
        const lines = upstream !== 'json' || downstream !== 'http' || tool === 'say';
        const messages = await ask(tool, args);
        const final = messages.at(-1);
        if (dig(final, 'result') === undefined) throw new Error(final.toString().slice(0, 200));
        const trimmed = args.trim();
        compare('result', dig(final, 'result', 'structuredContent'), trimmed, plain || !lines);
        if (plain) assert.equal(digest(final), hash(trimmed), 'the server got other bytes');
        if (era === 'legacy' && plain) {
          const whole = `{"content":[{"type":"text","text":"${hash(trimmed)}"}],"structuredContent":${trimmed}}`;
          compare('whole result', dig(final, 'result'), whole, true);
        }
        if (tool !== 'say') continue;
        const log = messages.find((m) => m.includes('notifications/message'));
        assert.ok(log, 'the log message did not come');
        compare('log message', dig(log, 'params', 'data'), trimmed, plain);
      } catch (error) {
        failures.push(`${title} (${tool}): ${error.message}`);
      }
    }
  }
  if (failures.length) throw new Error(`${failures.length} of ${2 * CORPUS.length}: ${failures.slice(0, 3).join('; ')}`);
}

const peers = { json: await httpPeer('dual'), sse: await httpPeer('dual', '--sse') };
const pipePeer = stdioPeer('dual');
const mcpServers = {
  json: { url: peers.json.url },
  sse: { url: peers.sse.url },
  stdio: { command: pipePeer.command, args: pipePeer.args },
};
const config = (name) => tempFile('one.json', JSON.stringify({ mcpServers: { [name]: mcpServers[name] } }));

const gateway = await serve({ mcpServers });
for (const upstream of Object.keys(mcpServers)) {
  for (const era of ['legacy', 'modern']) {
    await check(`${era}: HTTP client, ${upstream} upstream`, async () => {
      const wire = new Wire(`${gateway.base}/mcp/${upstream}`);
      if (era === 'legacy') await wire.initialize();
      await honest(overHttp(wire, era), upstream, 'http', era);
      wire.close();
    });
    await check(`${era}: stdio client, ${upstream} upstream`, async () => {
      const pipe = new Pipe(MCPGW, ['stdio', config(upstream)]);
      try {
        if (era === 'legacy') await pipe.initialize();
        await honest(overPipe(pipe, era), upstream, 'stdio', era);
      } finally {
        pipe.child.stdin.end();
      }
    });
  }
}

// ---------------------------------------------------------------------------------------------
// Ids and progress tokens come back in the caller's own spelling

const IDS = ['0', '""', '-1', '"a\\/b"', '"\\u0041"', '"\\ud83d\\ude00"', '9007199254740993', '123456789012345678901234567890', '"0"'];

const tagged = (id, token, era) => {
  const all = JSON.stringify(era === 'modern' ? meta() : {}).slice(1);
  const glue = all === '}' ? '' : ',';
  return (
    `{ "params" : {"arguments":{"ms":120,"step_ms":30},"na\\u006de":"sleep","_meta":{"progressToken":${token}${glue}${all}},` +
    ` "method":"tools/call" ,"id" : ${id} ,"jsonrpc":"2.0"}`
  );
};
for (const upstream of Object.keys(mcpServers)) {
  for (const era of ['legacy', 'modern']) {
    await check(`${era}: ids and tokens keep their spelling, ${upstream} upstream`, async () => {
      const wire = new Wire(`${gateway.base}/mcp/${upstream}`);
      if (era === 'legacy') await wire.initialize();
      const one = async (id, i) => {
        const token = IDS[(i + 3) % IDS.length];
        const headers = era === 'modern' ? modernHeaders('tools/call', 'sleep') : {};
        const { events, text, bytes } = await wire.send(tagged(id, token, era), { headers });
        assert.equal(dig(bytes, 'id')?.toString(), id, `id ${id}: ${text.slice(0, 200)}`);
        const seen = events.filter((e) => e.data?.includes('/progress')).map((e) => dig(e.data, 'params', 'progressToken').toString());
        assert.deepEqual(seen, [token, token, token], `progress of ${token}: ${text.slice(0, 200)}`);
      };
      await Promise.all(IDS.map(one));
      wire.close();
    });
  }
}

await gateway.stop();
await finish();
