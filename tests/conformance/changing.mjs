// An MCP server (official SDK) whose one tool has another name every --every ms: v<epoch>_<n>, n counted from
// --from (Unix ms), so that who reads a list can reckon how long ago it ended to be true.
//
//   changing.mjs --era legacy|modern (--http PORT | --stdio) --from MS [--every MS] [--epoch N] [--ttl MS] [--tell]

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  McpServer,
  WebStandardStreamableHTTPServerTransport,
  createMcpHandler,
  isInitializeRequest,
} from '@modelcontextprotocol/server';
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';

const { values: o } = parseArgs({
  options: {
    era: { type: 'string' },
    http: { type: 'string' },
    stdio: { type: 'boolean' },
    from: { type: 'string' },
    every: { type: 'string', default: '50' },
    epoch: { type: 'string', default: '1' },
    ttl: { type: 'string' },
    tell: { type: 'boolean', default: false },
    mark: { type: 'string' },
  },
});
const [from, every] = [Number(o.from), Number(o.every)];
const name = () => `v${o.epoch}_${Math.floor((Date.now() - from) / every)}`;
const live = new Set();
let asked = 0;

function build() {
  const hint = o.ttl === undefined ? {} : { cacheHints: { 'tools/list': { ttlMs: Number(o.ttl), cacheScope: 'public' } } };
  const server = new McpServer(
    { name: 'changing', version: o.epoch },
    { capabilities: { tools: { listChanged: o.tell } }, ...hint },
  );
  server.registerTool('placeholder', {}, () => ({ content: [] }));
  server.server.setRequestHandler('tools/list', () => {
    asked++;
    return { tools: [{ name: name(), description: `asked ${asked}`, inputSchema: { type: 'object' } }] };
  });
  server.server.setRequestHandler('tools/call', () => ({ content: [{ type: 'text', text: `${asked}` }] }));
  live.add(server);
  server.server.onclose = () => live.delete(server);
  return server;
}

let notifier;
if (o.tell) {
  let last = name();
  setInterval(() => {
    if (name() === last) return;
    last = name();
    for (const server of live) server.server.sendToolListChanged().catch(() => {});
    notifier?.toolsChanged?.();
  }, 5);
}

function http() {
  const sessions = new Map();
  const modern = createMcpHandler(build, { legacy: 'reject', onerror: () => {} });
  notifier = modern.notify;
  const legacy = async (request) => {
    const id = request.headers.get('mcp-session-id');
    if (id) return sessions.get(id)?.handleRequest(request) ?? new Response('{}', { status: 404 });
    const parsedBody = await request.clone().json().catch(() => undefined);
    if (!isInitializeRequest(parsedBody)) return new Response('{}', { status: 400 });
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (sid) => void sessions.set(sid, transport),
    });
    await build().connect(transport);
    return transport.handleRequest(request, { parsedBody });
  };
  const fetch = (request) => (o.era === 'legacy' ? legacy(request) : modern.fetch(request));
  const listener = createServer(toNodeHandler({ fetch }, { onerror: () => {} }));
  listener.listen(Number(o.http), '127.0.0.1', () => console.log(`http://127.0.0.1:${listener.address().port}/mcp`));
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
if (!o.stdio) http();
else if (o.era === 'legacy') await build().connect(new StdioServerTransport());
else serveStdio(build, { legacy: 'reject', onerror: () => {} });
