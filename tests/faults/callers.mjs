// Clients that expect trouble: each call ends as a result that is its own, as an error with a name, or as a
// broken connection, and is then counted as that. What ends in no way within its deadline is a hang.

import { ClientV1, ClientV2, HttpV1, HttpV2, v1 } from '../conformance/sdk.mjs';
import { Wire, rpc } from '../sdk/wire.mjs';
import { Ear } from './ear.mjs';

export const DEADLINE_MS = Number(process.env.DEADLINE_MS ?? 15_000);

/** What is asked of each kind of server: { method, params, is(result) }; the mark comes back where it can. */
const text = (result) => result.content?.[0]?.text;
export const MENUS = {
  fixture: (mark, n) =>
    [
      {
        method: 'tools/call',
        params: { name: 'json_schema_2020_12_tool', arguments: { name: mark, email: 'a@b' } },
        is: (r) => JSON.parse(text(r)).name === mark,
      },
      {
        method: 'prompts/get',
        params: { name: 'test_prompt_with_arguments', arguments: { arg1: mark, arg2: 'b' } },
        is: (r) => r.messages[0].content.text.includes(`'${mark}'`),
      },
      {
        method: 'tools/call',
        params: { name: 'test_tool_with_progress', arguments: { mark }, _meta: { progressToken: mark } },
        is: (r) => text(r) === 'Progress complete.',
      },
    ][n % 3],
  everything: (mark, n) =>
    [
      { method: 'tools/call', params: { name: 'echo', arguments: { message: mark } }, is: (r) => text(r) === `Echo: ${mark}` },
      {
        method: 'tools/call',
        params: {
          name: 'trigger-long-running-operation',
          arguments: { duration: 0.2, steps: 2, mark },
          _meta: { progressToken: mark },
        },
        is: (r) => /completed/.test(text(r)),
      },
    ][n % 2],
  peer: (mark) => ({
    method: 'tools/call',
    params: { name: 'echo', arguments: { mark } },
    is: (r) => r.structuredContent.mark === mark,
  }),
};

// ---------------------------------------------------------------------------------------------
// What became of a call

const REASONS = {
  '-31001': 'POLICY_DENIED', '-31002': 'UPSTREAM_UNAVAILABLE', '-31003': 'UPSTREAM_TIMEOUT', '-31004': 'OUTCOME_UNKNOWN',
  '-31005': 'IDEMPOTENCY_CONFLICT', '-31006': 'OVERLOADED', '-31007': 'STATE_LOST', '-31008': 'CONTEXT_ENDED',
  '-31009': 'PAYLOAD_TOO_LARGE', '-31010': 'UPSTREAM_PROTOCOL',
};

/** The name of an error the gateway raised; what is wrong with it, if it has none (DESIGN, section 14). */
export function judge({ code, message, data }) {
  const name = REASONS[code];
  if (!name && data?.origin !== 'gateway') return { nameless: `${code} ${message} ${JSON.stringify(data)}` };
  if (data?.origin !== 'gateway') return { nameless: `${name} without data.origin: ${JSON.stringify(data)}` };
  if (typeof data.reason !== 'string' || !data.reason) return { nameless: `${name ?? code} without a reason` };
  if (name && !['no', 'yes', 'unknown'].includes(data.delivered)) return { nameless: `${name} without data.delivered` };
  return { name: name ?? data.reason, delivered: data.delivered, reason: data.reason };
}

export class Tally {
  constructor() {
    Object.assign(this, { calls: 0, results: 0, resumed: 0, hangs: 0, wrong: [], nameless: [], stories: [], slowest: 0 });
    Object.assign(this, { errors: {}, broken: {}, delivered: {} });
  }
  count(outcome) {
    this.calls++;
    this.slowest = Math.max(this.slowest, outcome.ms);
    const add = (to, key) => (to[key] = (to[key] ?? 0) + 1);
    if (outcome.result && outcome.resumed) this.resumed++;
    if (outcome.story) this.stories.push(outcome.story);
    if (outcome.hang) this.hangs++;
    else if (outcome.result) this.results++;
    else if (outcome.wrong) this.wrong.push(outcome.wrong);
    else if (outcome.broken) add(this.broken, outcome.broken);
    else if (outcome.error.nameless) this.nameless.push(outcome.error.nameless);
    else {
      add(this.errors, outcome.error.name);
      if (outcome.error.delivered) add(this.delivered, outcome.error.delivered);
    }
  }
  /** Both together. */
  plus(other) {
    const sum = new Tally();
    for (const t of [this, other]) {
      for (const k of ['calls', 'results', 'resumed', 'hangs']) sum[k] += t[k];
      for (const k of ['errors', 'broken', 'delivered']) {
        for (const [name, n] of Object.entries(t[k])) sum[k][name] = (sum[k][name] ?? 0) + n;
      }
      sum.slowest = Math.max(sum.slowest, t.slowest);
      sum.wrong.push(...t.wrong);
      sum.nameless.push(...t.nameless);
      sum.stories.push(...t.stories);
    }
    return sum;
  }
  toString() {
    const list = (o) => Object.entries(o).map(([k, v]) => `${k} ${v}`).join(', ') || 'none';
    return (
      `${this.calls} calls: ${this.results} results (${this.resumed} by a resumed stream), errors by name: ${list(this.errors)}; broken connections: ` +
      `${list(this.broken)}; wrong results ${this.wrong.length}, errors without a name ${this.nameless.length}, ` +
      `slowest ${this.slowest} ms, hangs ${this.hangs}`
    );
  }
}

/** body() within the deadline. */
async function limited(ms, body) {
  const started = Date.now();
  let timer;
  const hang = new Promise((done) => (timer = setTimeout(() => done({ hang: true }), ms)));
  const outcome = await Promise.race([body(), hang]);
  clearTimeout(timer);
  return { ...outcome, ms: Date.now() - started };
}

const isBroken = (e) =>
  /ECONN|EPIPE|socket hang up|cut|terminated|fetch failed|other side closed|aborted|Parse Error|HPE_/i.test(
    `${e?.code} ${e?.message} ${e?.cause?.code} ${e?.cause?.message}`,
  );

// ---------------------------------------------------------------------------------------------
// Clients without an SDK

const NO_ENDPOINT = /the MCP endpoint is/; // 404 of a path that is, or was, no server's

export class WireCaller {
  constructor(url, era, deadline = DEADLINE_MS) {
    Object.assign(this, { url, era, deadline, wire: undefined, next: 0 });
  }
  async #ready() {
    this.wire ??= new Wire(this.url);
    this.asked = 'initialize';
    if (this.era === 'legacy' && !this.wire.session) await this.wire.initialize();
  }
  #forget() {
    const wire = this.wire;
    this.wire = undefined;
    if (!wire) return;
    wire.close();
    wire.open = () => Promise.reject(new Error('aborted: given up')); // an exchange that goes on opens no more sockets
  }
  async #exchange({ method, params }) {
    const id = `${++this.next}`;
    this.asked = method;
    if (this.era === 'modern') return this.wire.modern(id, method, params);
    return this.wire.send(rpc(id, method, params));
  }
  async #once(order) {
    try {
      await this.#ready();
      const reply = await this.#exchange(order);
      const { json, status } = reply;
      if (json?.result) return order.is(json.result) ? { result: true } : { wrong: reply.text.slice(0, 300) };
      if (json?.error) {
        if (status === 404 || json.error.code === -31008) this.#forget();
        return { error: judge(json.error) };
      }
      this.#forget();
      if (status === 404 && NO_ENDPOINT.test(reply.text)) return { error: { name: 'no such endpoint' } };
      return reply.stream ? { broken: 'the stream ended without the response' } : { error: { nameless: `HTTP ${status} ${reply.text.slice(0, 200)}` } };
    } catch (e) {
      this.#forget();
      if (NO_ENDPOINT.test(e.message)) return { error: { name: 'no such endpoint' } };
      const said = /^initialize: \d+ (\{.*\})$/.exec(e.message);
      if (said) return { error: judge(JSON.parse(said[1]).error) };
      return isBroken(e) ? { broken: e.code ?? e.message } : { wrong: String(e?.stack ?? e) };
    }
  }
  async call(order) {
    const outcome = await limited(this.deadline, () => this.#once(order));
    if (!outcome.hang) return outcome;
    const story = `${this.url} ${this.era}: no answer to ${this.asked}`;
    this.#forget();
    return { ...outcome, story };
  }
  async close() {
    if (this.wire?.session) await limited(2000, () => this.wire.send(undefined, { method: 'DELETE' }).catch(() => ({})));
    this.#forget();
  }
}

// ---------------------------------------------------------------------------------------------
// The official ones

const INFO = { name: 'caller', version: '1' };
const NO_RECONNECT = { maxReconnectionDelay: 100, initialReconnectionDelay: 20, reconnectionDelayGrowFactor: 1.5, maxRetries: 2 };

export class SdkCaller {
  /** kind: v1, v2 (legacy) or v2-modern */
  constructor(url, kind, deadline = DEADLINE_MS) {
    Object.assign(this, { url, kind, deadline, client: undefined, ear: undefined, visits: 0, lost: () => {} });
  }
  async #ready() {
    if (this.client) return;
    const url = new URL(this.url);
    const client =
      this.kind === 'v1'
        ? new ClientV1(INFO)
        : new ClientV2(INFO, { versionNegotiation: { mode: this.kind === 'v2' ? 'legacy' : { pin: '2026-07-28' } } });
    const Http = this.kind === 'v1' ? HttpV1 : HttpV2;
    const visit = this.visits;
    const ear = (this.ear = new Ear(NO_RECONNECT.maxRetries, (why) => ear === this.ear && this.lost(why)));
    ear.begin();
    const transport = new Http(url, { reconnectionOptions: NO_RECONNECT, fetch: ear.fetch });
    transport.onerror = (e) => ear.heard(e); // the client calls it, and its own
    client.onerror = () => {};
    this.connecting = client;
    await client.connect(transport, { timeout: this.deadline + 1000 });
    this.connecting = undefined;
    if (visit === this.visits) this.client = client;
    else await client.close(); // given up meanwhile
  }
  async #forget() {
    const given = [this.client, this.connecting];
    this.client = this.connecting = this.ear = undefined;
    this.visits++;
    await Promise.all(given.map((client) => client?.close().catch(() => {})));
  }
  #ask({ method, params }) {
    const { _meta: more, ...rest } = params;
    const options = { timeout: this.deadline + 1000, ...(more && { onprogress: () => {} }) };
    if (method === 'prompts/get') return this.client.getPrompt(rest, options);
    return this.kind === 'v1' ? this.client.callTool(rest, v1.CallToolResultSchema, options) : this.client.callTool(rest, options);
  }
  async #once(order) {
    try {
      await this.#ready();
      if (!this.client) return { broken: `sdk ${this.kind}, given up meanwhile` }; // a hang of another call's ended it
      const result = await this.#ask(order);
      return order.is(result) ? { result: true } : { wrong: JSON.stringify(result).slice(0, 300) };
    } catch (e) {
      return this.#failure(e);
    }
  }
  async #failure(e) {
    const status = e?.code >= 400 && e.code < 600 ? e.code : (e?.status ?? /HTTP (\d+)/.exec(e?.message)?.[1]);
    const inside = /(\{"jsonrpc".*\})/s.exec(e?.message ?? '');
    if (inside) {
      await this.#forget();
      return { error: judge(JSON.parse(inside[1]).error) };
    }
    if (typeof e?.code === 'number' && e.code < 0 && e.code !== -32001 && e.code !== -32000) {
      if (e.code === -31008) await this.#forget();
      return { error: judge({ code: e.code, message: e.message, data: e.data }) };
    }
    await this.#forget();
    if (e?.code === 'ERA_NEGOTIATION_FAILED') return { error: { name: e.code } };
    if (isBroken(e) || /closed|not connected|stream|Unexpected|JSON|session/i.test(e?.message)) return { broken: `sdk ${this.kind}` };
    return { error: { nameless: `sdk ${this.kind}: ${status ?? ''} ${e?.code} ${e?.stack ?? e}` } };
  }
  /** A transport that has lost the call's stream says so by onerror, and the call goes on waiting: that is its end. */
  async call(order) {
    const told = new Promise((done) => {
      this.lost = (why) => done({ broken: `sdk ${this.kind}, told by onerror: ${why}`, told: true });
    });
    this.ear?.begin();
    const outcome = await limited(this.deadline, () => Promise.race([this.#once(order), told]));
    const { ear } = this;
    if (ear?.resumed()) outcome.resumed = true;
    if (outcome.hang || outcome.told) await limited(2000, () => this.#forget());
    if (outcome.hang || /refused/.test(outcome.broken)) outcome.story = `${this.url} ${outcome.broken ?? `sdk ${this.kind}, hang`}: ${ear?.story()}`;
    return outcome;
  }
  async close() {
    await limited(2000, async () => this.client?.transport?.terminateSession?.().catch(() => {}));
    await limited(2000, () => this.#forget());
  }
}

export function caller(url, kind, deadline) {
  return kind === 'legacy' || kind === 'modern' ? new WireCaller(url, kind, deadline) : new SdkCaller(url, kind, deadline);
}
