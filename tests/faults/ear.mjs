// What the HTTP transport of an official client does while a call waits, and what it says. An SDK whose stream was
// cut tells it by `onerror` alone and leaves the call to its own time-out (@modelcontextprotocol/sdk 1.32,
// client/streamableHttp.js; @modelcontextprotocol/client 2.4, dist/index.mjs: _handleSseStream and
// _scheduleReconnection). An Ear is put between it and fetch: it changes nothing, and knows which exchanges belong to
// the call, so that no other stream's trouble (the client's own GET stream's, say) is taken for that call's.

import { eventReader } from '../sdk/wire.mjs';

const parsed = (data) => {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
};

export class Ear {
  /** retries: the transport's maxRetries. onlost(why): no answer can come any more, and the transport has said so. */
  constructor(retries, onlost) {
    Object.assign(this, { retries, onlost, exchanges: [], said: [] });
  }
  /** A call begins: what was before does not matter. */
  begin() {
    Object.assign(this, { exchanges: [], said: [], from: Date.now() });
  }

  fetch = async (url, init) => {
    const body = typeof init.body === 'string' ? parsed(init.body) : undefined;
    const after = new Headers(init.headers).get('last-event-id') ?? undefined;
    const x = { what: `${init.method} ${body?.method ?? ''}`.trim(), id: body?.method && body.id, after, at: Date.now(), ids: new Set() };
    this.#forgot(x);
    this.exchanges.push(x);
    try {
      const response = await fetch(url, init);
      x.status = response.status;
      const type = response.headers.get('content-type') ?? '';
      if (response.ok && /^text\/event-stream/.test(type)) Object.defineProperty(response, 'body', { value: this.#listen(x, response.body) });
      else x.end = response.ok ? type : 'refused';
      return response;
    } catch (e) {
      x.end = `failed: ${e?.cause?.code ?? e?.message}`;
      throw e;
    }
  };
  /** The same bytes; their events and their end are noted down. */
  #listen(x, body) {
    const feed = eventReader(({ id, data }) => {
      if (id) x.ids.add(id);
      const message = data?.length ? parsed(data) : undefined;
      if (message && !message.method && message.id !== undefined) x.answered = message.id;
    });
    const reader = body.getReader();
    return new ReadableStream({
      async pull(to) {
        try {
          const { done, value } = await reader.read();
          if (done) (x.end = 'end'), to.close();
          else feed(Buffer.from(value)), to.enqueue(value);
        } catch (e) {
          Object.assign(x, { end: `broken: ${e?.cause?.code ?? e?.message}`, ended: Date.now() });
          to.error(e);
        }
      },
      cancel: (why) => reader.cancel(why),
    });
  }

  /** The exchanges of the request that was sent last: its POST, and each GET that resumes a stream of it. */
  #chain() {
    const asked = this.exchanges.findLastIndex((x) => x.id !== undefined);
    if (asked < 0) return [];
    const chain = [this.exchanges[asked]];
    const ids = new Set(chain[0].ids);
    for (const x of this.exchanges.slice(asked + 1)) {
      if (!ids.has(x.after)) continue;
      chain.push(x);
      x.ids.forEach((id) => ids.add(id));
    }
    return chain;
  }
  /** The answer came by a GET. */
  resumed() {
    return this.#chain().some((x) => x.after && x.answered !== undefined);
  }
  /**
   * Both SDKs forget the id of a stream that was resumed and cut before its next event, tell "SSE stream
   * disconnected" and come back with a GET that asks for nothing: the call's stream is not asked for again
   * (github.com/modelcontextprotocol/typescript-sdk, issue 2499, open). An SDK that is mended is not taken for one.
   */
  #forgot(x) {
    const last = this.#chain().at(-1);
    const cut = last?.after && /^broken/.test(last.end) && !last.ids.size;
    const told = cut && this.said.some((s) => s.at >= last.ended && /^SSE stream disconnected/.test(s.text));
    if (told && /^GET/.test(x.what) && !x.after) this.onlost('it forgot which stream to resume');
  }
  /** What the transport said by onerror. */
  heard(error) {
    const text = String(error?.message ?? error);
    this.said.push({ text, at: Date.now() });
    const chain = this.#chain();
    if (!chain.length || chain.some((x) => x.answered !== undefined)) return;
    const resumable = chain.some((x) => x.ids.size);
    const last = chain.slice(-this.retries);
    if (!resumable && /^SSE stream disconnected/.test(text) && /^broken/.test(chain[0].end)) this.onlost('a stream that cannot be resumed');
    else if (resumable && /^Maximum reconnection attempts/.test(text) && last.length === this.retries && last.every((x) => x.after && /^(failed|refused)/.test(x.end))) {
      const refused = last.map((x) => x.status).filter(Boolean);
      this.onlost(refused.length ? `resumption refused with ${refused.at(-1)}` : 'resumption failed');
    }
  }

  /** All of it, for people. */
  story() {
    const t = (at) => `${at - this.from} ms`;
    const parts = this.exchanges.map((x) => ({
      at: x.at,
      text: `${t(x.at)} ${x.what}${x.id !== undefined ? ` #${x.id}` : ''}${x.after ? ` after ${x.after}` : ''}: ${x.status ?? 'no status'}, ids [${[...x.ids]}], ${x.answered !== undefined ? `answer to #${x.answered}, ` : ''}${x.end ?? 'open'}`,
    }));
    const said = this.said.map((s) => ({ at: s.at, text: `${t(s.at)} onerror: ${s.text.slice(0, 120)}` }));
    return [...parts, ...said].sort((a, b) => a.at - b.at).map((p) => p.text).join('; ');
  }
}
