// The SDK, as the rigs in tests/sdk see it: they have no node_modules of their own, and bare names resolve
// from the file that imports them.

export { Client as ClientV2, StreamableHTTPClientTransport as HttpV2 } from '@modelcontextprotocol/client';
export { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
export { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
export { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
export { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
export * as v1 from '@modelcontextprotocol/sdk/types.js';
