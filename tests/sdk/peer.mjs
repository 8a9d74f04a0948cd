// A raw MCP server without any SDK: it cuts what it returns out of the bytes it was sent, so that a change
// of a single byte on the way shows. It also misbehaves on demand, and notes down what it was told.
//
//   peer.mjs --era legacy|modern|dual (--http PORT | --stdio) [--log FILE] [--mark TEXT]
//     --sse        every tools/call over HTTP is answered by a stream
//     --stubborn   neither the end of input nor TERM ends it
//     --family     starts a child that outlives it if nobody ends it
//     --lost HOW   a session id it does not know is answered with 404 (default), 400, or 200 and an error
//
// Tools: echo (arguments come back as structuredContent, their SHA-256 as text), say (arguments come back
// in a log message first), sleep {ms, step_ms}, big {bytes}, count {n}, pid, keep {text} (remembers it for the
// session and returns all that it has kept there).

import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { dig } from './json-spans.mjs';

const { values: options } = parseArgs({
  options: {
    era: { type: 'string' },
    http: { type: 'string' },
    stdio: { type: 'boolean' },
    log: { type: 'string' },
    mark: { type: 'string' },
    sse: { type: 'boolean' },
    stubborn: { type: 'boolean' },
    family: { type: 'boolean' },
    lost: { type: 'string', default: '404' },
  },
});

const note = (what) => options.log && appendFileSync(options.log, `${JSON.stringify(what)}\n`);
const text = (bytes) => (bytes === undefined ? undefined : JSON.parse(bytes.toString('utf8')));
const bytes = (...parts) => Buffer.concat(parts.map((p) => (Buffer.isBuffer(p) ? p : Buffer.from(p))));

const MODERN = '2026-07-28';
const INFO = '{"name":"peer","version":"1"}';
const CAPABILITIES = '{"tools":{},"logging":{}}';
const META = `"_meta":{"io.modelcontextprotocol/serverInfo":${INFO}}`;
const NAMES = ['echo', 'say', 'sleep', 'big', 'count', 'pid', 'keep'];
const TOOLS = JSON.stringify(NAMES.map((name) => ({ name, inputSchema: { type: 'object' } })));

const kept = new Map(); // session -> what keep was given there
const running = new Map(); // session + id -> function that stops it

// ---------------------------------------------------------------------------------------------
// Messages. `to` is where the answer goes: { modern, session, write(bytes), stream() }

const answer = (to, id, body) => to.write(bytes('{"jsonrpc":"2.0","id":', id, ',"result":{', body, '}}'), true);
const refuse = (to, id, code, message, status = 200) =>
  to.write(bytes(`{"jsonrpc":"2.0","id":`, id, `,"error":{"code":${code},"message":"${message}"}}`), true, status);
const complete = (to) => (to.modern ? `"resultType":"complete",${META},` : '');

/** Waits, with progress if a token was given; `after` answers. */
function waiting(to, id, { ms, step_ms: step = 0 }, token, after) {
  const key = `${to.session} ${id}`;
  let timer;
  const stop = (how) => {
    clearTimeout(timer);
    running.delete(key);
    if (how) note({ event: 'cancelled', id: id.toString(), how });
  };
  running.set(key, stop);
  to.closed?.(() => running.get(key) === stop && stop('closed'));
  const from = Date.now();
  const speaks = step && token;
  if (speaks) to.stream();
  // One timer after the other: two that are both late may fire in either order.
  const next = (at, n) => {
    const last = !speaks || at >= ms;
    timer = setTimeout(() => {
      if (last) return stop(), after();
      const params = bytes('{"progressToken":', token, `,"progress":${n}}`);
      to.write(bytes('{"jsonrpc":"2.0","method":"notifications/progress","params":', params, '}'));
      return next(at + step, n + 1);
    }, from + (last ? ms : at) - Date.now());
  };
  next(step, 1);
}

const CALLS = {
  echo(to, id, args) {
    const digest = createHash('sha256').update(args).digest('hex');
    answer(to, id, bytes(complete(to), `"content":[{"type":"text","text":"${digest}"}],"structuredContent":`, args));
  },
  say(to, id, args) {
    to.stream();
    to.write(bytes('{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":', args, '}}'));
    CALLS.echo(to, id, args);
  },
  sleep(to, id, args, token) {
    const done = () => answer(to, id, `${complete(to)}"content":[{"type":"text","text":"slept"}]`);
    waiting(to, id, text(args), token, done);
  },
  big(to, id, args) {
    const head = `{"jsonrpc":"2.0","id":${id},"result":{${complete(to)}"content":[{"type":"text","text":"`;
    to.write(bytes(head, Buffer.alloc(text(args).bytes, 'x'), '"}]}}'), true);
  },
  count(to, id, args) {
    const { n, ms = 0 } = text(args);
    note({ event: 'count', n });
    setTimeout(() => answer(to, id, `${complete(to)}"content":[{"type":"text","text":"${n}"}]`), ms);
  },
  keep(to, id, args) {
    const { text: one } = text(args);
    const all = kept.get(to.session) ?? [];
    if (one !== undefined) all.push(one);
    kept.set(to.session, all);
    answer(to, id, `${complete(to)}"content":[{"type":"text","text":${JSON.stringify(all.join('\n'))}}]`);
  },
  pid(to, id) {
    answer(to, id, `${complete(to)}"content":[{"type":"text","text":"${process.pid}"}]`);
  },
};

const METHODS = {
  'server/discover': (to, id) =>
    answer(
      to,
      id,
      `${complete(to)}"supportedVersions":["${MODERN}"],"capabilities":${CAPABILITIES},"ttlMs":60000,"cacheScope":"public"`,
    ),
  'tools/list': (to, id) => {
    const hints = to.modern ? `${complete(to)}"ttlMs":60000,"cacheScope":"public",` : '';
    answer(to, id, `${hints}"tools":${TOOLS}`);
  },
  'tools/call': (to, id, params) => {
    const name = text(dig(params, 'name'));
    note({ event: 'call', name, id: id.toString() });
    if (!CALLS[name]) return refuse(to, id, -32602, 'unknown tool');
    if (options.sse) to.stream();
    CALLS[name](to, id, dig(params, 'arguments') ?? Buffer.from('{}'), dig(params, '_meta', 'progressToken'));
  },
  ping: (to, id) => answer(to, id, ''),
  'logging/setLevel': (to, id) => answer(to, id, ''),
  initialize: (to, id, params) => {
    const version = dig(params, 'protocolVersion');
    if (text(dig(params, 'clientInfo', 'name')) === 'unwelcome') return refuse(to, id, -32602, 'not you');
    note({ event: 'initialize' });
    to.open?.();
    answer(to, id, bytes('"protocolVersion":', version, `,"capabilities":${CAPABILITIES},"serverInfo":${INFO}`));
  },
};

function take(message, to) {
  const [method, id, params] = [text(dig(message, 'method')), dig(message, 'id'), dig(message, 'params')];
  if (method === 'notifications/cancelled') {
    const key = `${to.session} ${dig(params, 'requestId')}`;
    running.get(key)?.('notification');
  }
  if (id === undefined || method === undefined) return to.accepted?.();
  to.modern = params !== undefined && dig(params, '_meta', 'io.modelcontextprotocol/protocolVersion') !== undefined;
  if (to.modern && options.era === 'legacy') return refuse(to, id, -32601, 'legacy here', 400);
  if (!to.modern && options.era === 'modern') return refuse(to, id, -32022, 'modern here', 400);
  const foreign = to.modern ? ['initialize', 'ping', 'logging/setLevel'] : ['server/discover'];
  if (METHODS[method] && !foreign.includes(method)) METHODS[method](to, id, params);
  else refuse(to, id, -32601, 'unknown method', to.modern ? 404 : 200);
}

// ---------------------------------------------------------------------------------------------
// Doors

function onStdio() {
  let rest = [];
  const to = () => ({ session: '', stream() {}, write: (b) => process.stdout.write(bytes(b, '\n')) });
  process.stdin.on('data', (data) => {
    for (let lf; (lf = data.indexOf(10)) >= 0; data = data.subarray(lf + 1)) {
      const line = Buffer.concat([...rest, data.subarray(0, lf)]);
      rest = [];
      take(line, to());
    }
    rest.push(data);
  });
  process.stdin.on('end', () => {
    note({ event: 'eof' });
    if (!options.stubborn) process.exit(0);
  });
}

/** One event; a line break inside the message becomes a line of its own, as the format has it. */
function event(message) {
  const whole = message.includes(13) ? Buffer.from(message.toString('latin1').replace(/\r\n?/g, '\n'), 'latin1') : message;
  const lines = [];
  for (let from = 0, lf; from <= whole.length; from = lf + 1) {
    lf = whole.indexOf(10, from);
    if (lf < 0) lf = whole.length;
    lines.push('data: ', whole.subarray(from, lf), '\n');
  }
  return bytes(...lines, '\n');
}

const sessions = new Set();
/** As servers in the wild say it. */
function unknownSession(response, method) {
  note({ event: 'unknown session', method });
  const error = { code: options.lost === '200' ? -32001 : -32600, message: 'Session not found' };
  const body = JSON.stringify({ jsonrpc: '2.0', id: null, error });
  const status = method === 'POST' ? Number(options.lost) : 404;
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length }).end(body);
}
function onHttp() {
  const listener = createServer((request, response) => {
    const session = request.headers['mcp-session-id'] ?? '';
    const parts = [];
    request.on('data', (d) => parts.push(d));
    request.on('end', () => {
      const status = (code) => response.writeHead(code).end();
      if (session && !sessions.has(session)) return unknownSession(response, request.method);
      if (request.method === 'DELETE') {
        note({ event: 'delete' });
        kept.delete(session);
        return sessions.delete(session) ? status(200) : status(404);
      }
      if (request.method !== 'POST') return status(405);
      const head = {};
      take(Buffer.concat(parts), {
        session,
        open: () => sessions.add((head['Mcp-Session-Id'] = randomUUID())),
        accepted: () => status(202),
        closed: (then) => response.on('close', () => response.writableFinished || then()),
        stream: () => response.headersSent || response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders(),
        write(message, last, code = 200) {
          if (response.headersSent) return last ? response.end(event(message)) : response.write(event(message));
          const length = message.length;
          response.writeHead(code, { ...head, 'Content-Type': 'application/json', 'Content-Length': length });
          return response.end(message);
        },
      });
    });
  });
  listener.keepAliveTimeout = 60_000;
  listener.listen(Number(options.http), '127.0.0.1', () => {
    process.stdout.write(`http://127.0.0.1:${listener.address().port}/mcp\n`);
  });
}

if (options.family) spawn('sh', ['-c', `exec sleep 600 # ${options.mark}`, options.mark], { stdio: 'ignore' });
note({ event: 'start', pid: process.pid });
if (options.stubborn) setInterval(() => {}, 1000);
process.on('SIGTERM', () => {
  note({ event: 'term' });
  if (!options.stubborn) process.exit(0);
});
process.stdout.on('error', () => options.stubborn || process.exit(0));
if (options.stdio) onStdio();
else onHttp();
