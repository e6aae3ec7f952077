// Keeps the event stream of one WHEP session open (draft-murillo-whep-02 §4.4.1): subscribes by POST, reads by GET, and
// does both again when the stream ends before the session does.
//
// The stream ends with `close`. It is closed while the page is hidden, and a subscription begins with the present state. A
// browser opens six connections to a node by HTTP/1.1 for all pages together, and each stream keeps one. So the players of
// a page read at most `STREAMS_PER_NODE` streams of a node at a time, unless HTTP/2 carries them. The others wait for a
// place, and have no levels meanwhile.

import { type Backoff, backoffMs } from './backoff';
import type { Endpoint } from './endpoint';
import { EventStreamParser, type ServerEvent } from './event_stream';

const STREAMS_PER_NODE = 3;
const RETRY: Backoff = { firstMs: 1000, limitMs: 30_000 };
/** The session is over, or the node has no such stream. Asking again changes nothing. */
const FINAL = [400, 401, 403, 404, 405, 406, 410, 415, 501];

export class ServerEvents {
  readonly #endpoint: Endpoint;
  readonly #url: string;
  readonly #wanted: readonly string[];
  readonly #onEvent: (event: ServerEvent) => void;
  readonly #life = new AbortController();
  #stream: string | null = null;
  /** Ends what is being waited for or read now. */
  #turn = new AbortController();

  /** `url` is the resource to which `wanted`, the names of events, is sent. */
  constructor(endpoint: Endpoint, url: string, wanted: readonly string[], onEvent: (event: ServerEvent) => void) {
    this.#endpoint = endpoint;
    this.#url = url;
    this.#wanted = wanted;
    this.#onEvent = onEvent;
  }

  open(): void {
    const { signal } = this.#life;
    document.addEventListener('visibilitychange', () => this.#turn.abort(), { signal });
    signal.addEventListener('abort', () => this.#turn.abort());
    void this.#run();
  }

  /** Reads the stream anew at once. The connection of the old one may be dead, as after a change of network. */
  renew(): void {
    this.#turn.abort();
  }

  close(): void {
    this.#life.abort();
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#life.signal.aborted) {
      this.#turn = new AbortController();
      const { signal } = this.#turn;
      if (document.hidden) {
        await aborted(signal);
        continue;
      }
      const outcome = await this.#read(signal).catch(() => 'failed' as const);
      if (outcome === 'over') return;
      failures = outcome === 'read' || signal.aborted ? 0 : failures + 1;
      if (!signal.aborted) await pause(backoffMs(RETRY, failures, Math.random()), signal);
    }
  }

  /** Subscribes if that is needed, and reads until the stream ends. Returns whether an event came. */
  async #read(signal: AbortSignal): Promise<'read' | 'failed' | 'over'> {
    const leave = await place(this.#endpoint, this.#url, signal);
    try {
      if (this.#stream === null) {
        const status = await this.#subscribe(signal);
        if (this.#stream === null) return FINAL.includes(status) ? 'over' : 'failed';
      }
      const headers = this.#endpoint.headers(this.#stream, { accept: 'text/event-stream' });
      const response = await fetch(this.#stream, { headers, cache: 'no-store', signal });
      const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
      if (response.status !== 200 || !isStream || !response.body) {
        this.#stream = null;
        await response.body?.cancel();
        return 'failed';
      }
      return (await this.#take(response.body, signal)) ? 'read' : 'failed';
    } finally {
      leave();
    }
  }

  async #subscribe(signal: AbortSignal): Promise<number> {
    const headers = this.#endpoint.headers(this.#url, { 'content-type': 'application/json' });
    const body = JSON.stringify(this.#wanted);
    const response = await fetch(this.#url, { method: 'POST', headers, body, cache: 'no-store', signal });
    const location = response.headers.get('location');
    if (response.status === 201 && location) {
      this.#stream = this.#endpoint.located(location, response.url || this.#url);
    }
    await response.body?.cancel();
    return response.status;
  }

  async #take(body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<boolean> {
    const parser = new EventStreamParser();
    const text = new TextDecoder();
    const reader = body.getReader();
    let came = false;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done || signal.aborted) return came;
        for (const event of parser.take(text.decode(value, { stream: true }))) {
          came = true;
          this.#onEvent(event);
        }
      }
    } catch {
      return came; // The connection broke.
    } finally {
      reader.cancel().catch(() => {});
    }
  }
}

interface Places {
  taken: number;
  waiting: (() => void)[];
}

const places = new Map<string, Places>();

/** Waits for a place among the streams of this node, and returns the function that frees it. */
async function place(endpoint: Endpoint, url: string, signal: AbortSignal): Promise<() => void> {
  if (isMultiplexed(endpoint)) return () => {};
  const { origin } = new URL(url);
  const own = places.get(origin) ?? { taken: 0, waiting: [] };
  places.set(origin, own);
  while (own.taken >= STREAMS_PER_NODE) {
    await new Promise<void>((resolve) => {
      own.waiting.push(resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    if (signal.aborted) throw new Error('the wait for a place ended');
  }
  own.taken++;
  return () => {
    own.taken--;
    for (const resolve of own.waiting.splice(0)) resolve();
  };
}

/** Returns whether one connection carries all requests to the node, as far as the browser tells. */
function isMultiplexed({ whep }: Endpoint): boolean {
  const requests = performance.getEntriesByName(whep, 'resource') as PerformanceResourceTiming[];
  return /^h[23]/.test(requests.at(-1)?.nextHopProtocol ?? '');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Waits until the time is over or `signal` is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([over, aborted(signal)]);
  clearTimeout(timer);
}
