// A client without an SDK: it sends the bytes it is given and keeps the bytes it gets, over HTTP (JSON or
// SSE) and over a child's standard input and output.

import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { dig } from './json-spans.mjs';
import { run } from './rig.mjs';

export const MODERN = '2026-07-28';
export const INFO = { name: 'wire', version: '1' };
const BOTH = 'application/json, text/event-stream';

export const meta = (more = {}) => ({
  'io.modelcontextprotocol/protocolVersion': MODERN,
  'io.modelcontextprotocol/clientInfo': INFO,
  'io.modelcontextprotocol/clientCapabilities': {},
  ...more,
});
export const modernHeaders = (method, name) => ({
  'MCP-Protocol-Version': MODERN,
  'Mcp-Method': method,
  ...(name !== undefined && { 'Mcp-Name': name }),
});
export const rpc = (id, method, params) => JSON.stringify({ jsonrpc: '2.0', id, method, params });
export const note = (method, params) => JSON.stringify({ jsonrpc: '2.0', method, params });
export const callBody = (id, name, args, more) => rpc(id, 'tools/call', { name, arguments: args, ...more });

/** Splits the bytes of a stream into events as they come: { id, retry, event, data } with data as bytes. */
export function eventReader(onEvent) {
  let rest = Buffer.alloc(0);
  let fields = {};
  const line = (bytes) => {
    if (bytes.length === 0) {
      if (Object.keys(fields).length) {
        onEvent({ ...fields, data: fields.data && Buffer.concat(fields.data.slice(1)) });
      }
      fields = {};
      return;
    }
    const colon = bytes.indexOf(0x3a);
    if (colon === 0) return void onEvent({ comment: bytes.toString() });
    const name = bytes.toString('latin1', 0, colon < 0 ? bytes.length : colon);
    const from = colon < 0 ? bytes.length : bytes[colon + 1] === 0x20 ? colon + 2 : colon + 1;
    const value = bytes.subarray(from);
    if (name === 'data') fields.data = [...(fields.data ?? []), Buffer.from('\n'), value];
    else fields[name] = value.toString();
  };
  const parts = [];
  return (chunk) => {
    if (chunk.indexOf(10) < 0) return void parts.push(chunk);
    rest = Buffer.concat([...parts.splice(0), chunk]);
    let from = 0;
    for (let lf; (lf = rest.indexOf(10, from)) >= 0; from = lf + 1) {
      line(rest.subarray(from, rest[lf - 1] === 13 ? lf - 1 : lf));
    }
    if (from < rest.length) parts.push(rest.subarray(from));
  };
}

/** A connection pool, and what a legacy session needs. */
export class Wire {
  constructor(url, { sockets = 16 } = {}) {
    this.url = url;
    this.agent = new Agent({ keepAlive: true, maxSockets: sockets });
    this.session = undefined;
    this.revision = '2025-11-25';
  }

  /**
   * Opens one exchange: resolves with { status, headers, body: Promise<Buffer>, events, on(fn), destroy() }
   * when the head is there. events fill as they come, if it is a stream.
   */
  open(body, { method = 'POST', headers = {}, bare = false, path = '' } = {}) {
    const standard = bare ? {} : { Accept: method === 'GET' ? 'text/event-stream' : BOTH };
    if (!bare && body !== undefined) standard['Content-Type'] = 'application/json';
    if (!bare && this.session) {
      standard['Mcp-Session-Id'] = this.session;
      standard['MCP-Protocol-Version'] = this.revision;
    }
    const all = { ...standard, ...headers };
    for (const name of Object.keys(all)) if (all[name] === undefined) delete all[name];
    return new Promise((done, fail) => {
      const rq = request(this.url + path, { method, headers: all, agent: this.agent });
      rq.on('error', fail);
      rq.on('response', (response) => {
        const exchange = { status: response.statusCode, headers: response.headers, events: [], response, request: rq };
        const listeners = [];
        exchange.on = (fn) => (exchange.events.forEach(fn), listeners.push(fn));
        exchange.destroy = () => rq.destroy();
        const isStream = /^text\/event-stream/.test(response.headers['content-type'] ?? '');
        const feed = eventReader((e) => (exchange.events.push(e), listeners.forEach((fn) => fn(e))));
        const parts = [];
        exchange.body = new Promise((end, broken) => {
          response.on('data', (d) => (isStream ? feed(d) : parts.push(d)));
          response.on('end', () => end(Buffer.concat(parts)));
          response.on('error', broken);
          response.on('close', () => broken(new Error('the connection was cut')));
        });
        exchange.body.catch(() => {});
        done(exchange);
      });
      rq.end(body);
    });
  }

  /** One exchange to its end: { status, headers, bytes, text, json, messages }. bytes: the last message. */
  async send(body, options) {
    const exchange = await this.open(body, options);
    const whole = await exchange.body;
    const data = exchange.events.filter((e) => e.data?.length).map((e) => e.data);
    const stream = exchange.events.length > 0;
    const bytes = stream ? data.at(-1) : whole;
    const parse = (b) => {
      try {
        return JSON.parse(b.toString());
      } catch {
        return undefined;
      }
    };
    return {
      status: exchange.status,
      headers: exchange.headers,
      stream,
      events: exchange.events,
      bytes,
      text: bytes?.toString() ?? '',
      json: bytes && parse(bytes),
      messages: stream ? data.map(parse) : [parse(whole)],
    };
  }

  async initialize(revision = '2025-11-25', capabilities = {}) {
    const params = { protocolVersion: revision, capabilities, clientInfo: INFO };
    const reply = await this.send(rpc('hello', 'initialize', params));
    if (!reply.json?.result) throw new Error(`initialize: ${reply.status} ${reply.text}`);
    this.session = reply.headers['mcp-session-id'];
    this.revision = reply.json.result.protocolVersion;
    await this.send(note('notifications/initialized'));
    return reply.json.result;
  }

  /** A legacy request of this session. */
  ask(id, method, params) {
    return this.send(rpc(id, method, params));
  }

  call(id, name, args, more) {
    return this.send(callBody(id, name, args, more));
  }

  /** A modern request. */
  modern(id, method, params = {}, headers = {}) {
    const body = rpc(id, method, { ...params, _meta: meta(params._meta) });
    return this.send(body, { headers: { ...modernHeaders(method, params.name ?? params.uri), ...headers } });
  }

  close() {
    this.agent.destroy();
  }
}

/** A POST on a socket of its own that is not read until asked to be. */
export function slowReader(url, body, headers) {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.pause();
  socket.on('error', () => {});
  const head = { Host: host, 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', ...headers };
  const lines = Object.entries({ ...head, 'Content-Length': Buffer.byteLength(body) }).map(([k, v]) => `${k}: ${v}\r\n`);
  socket.write(`POST ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
  return socket;
}

/** The same over a child's pipes: lines of bytes. */
export class Pipe {
  constructor(command, args) {
    this.child = run(command, args);
    this.lines = [];
    this.waiters = [];
    const parts = [];
    this.child.stdout.on('data', (data) => {
      for (let lf; (lf = data.indexOf(10)) >= 0; data = data.subarray(lf + 1)) {
        this.#line(Buffer.concat([...parts.splice(0), data.subarray(0, lf)]));
      }
      if (data.length) parts.push(data);
    });
    this.child.ended.then(() => this.waiters.splice(0).forEach((w) => w.fail(new Error('the pipe ended'))));
  }

  #line(bytes) {
    this.lines.push(bytes);
    for (const waiter of [...this.waiters]) {
      if (!waiter.wants(bytes)) continue;
      this.waiters.splice(this.waiters.indexOf(waiter), 1);
      waiter.done(bytes);
    }
  }

  write(message) {
    this.child.stdin.write(Buffer.concat([Buffer.from(message), Buffer.from('\n')]));
  }

  next(wants = () => true) {
    return new Promise((done, fail) => this.waiters.push({ wants, done, fail }));
  }

  /** Sends a request whose id is a string found nowhere else; resolves with the bytes of the answer. */
  send(body, id) {
    const tag = Buffer.from(JSON.stringify(id));
    const answers = (bytes) => bytes.includes(tag) && dig(bytes, 'id')?.equals(tag) && !dig(bytes, 'method');
    const reply = this.next(answers);
    this.write(body);
    return reply;
  }

  async initialize(revision = '2025-11-25') {
    const params = { protocolVersion: revision, capabilities: {}, clientInfo: INFO };
    await this.send(rpc('hello', 'initialize', params), 'hello');
    this.write(note('notifications/initialized'));
  }
}
