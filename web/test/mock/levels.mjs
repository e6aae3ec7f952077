// Mocks the choice of levels of WHEP sessions (draft-murillo-whep-02 §4.4): the layer resource and the event stream. The
// largest level within the bounds is chosen automatically.

/** @typedef {{ encodingId: string, width: number, height: number, bitrate: number, frameRate: number, onDemand: boolean }} MockLevel */
/** @typedef {{ encodingId?: string, maxWidth?: number, maxHeight?: number, maxBitrate?: number }} Wish */
/** @typedef {{ levels: MockLevel[], wish: Wish, current: string | null, estimate: number | null, subscriptions: Set<string>, streams: Set<import('node:http').ServerResponse> }} Session */

export class MockLevels {
  constructor() {
    /** @type {Map<string, Session>} */
    this.sessions = new Map();
    this.count = 0;
    /** Is told of each change of level. @type {(session: string, level: MockLevel | null) => void} */
    this.switched = () => {};
  }

  /** @param {string} id @param {MockLevel[]} levels */
  begin(id, levels) {
    const current = levels[0]?.encodingId ?? null;
    const subscriptions = new Set();
    this.sessions.set(id, { levels, wish: {}, current, estimate: 4_000_000, subscriptions, streams: new Set() });
  }

  /** @param {string} id */
  end(id) {
    for (const stream of this.sessions.get(id)?.streams ?? []) stream.end();
    this.sessions.delete(id);
  }

  clear() {
    for (const id of this.sessions.keys()) this.end(id);
  }

  /** Ends all streams, as a proxy that is restarted does. */
  cut() {
    for (const { streams } of this.sessions.values()) for (const stream of streams) stream.destroy();
  }

  /** Sets the levels of all sessions. @param {MockLevel[]} levels */
  change(levels) {
    for (const [id, session] of this.sessions) {
      session.levels = levels;
      this.#choose(id, session);
      this.#tell(session);
    }
  }

  /**
   * @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response
   * @param {string} id @param {string} resource @param {string} subscription @param {string} body @param {string} base
   * @returns {number} the status, if there is nothing else to say
   */
  serve(request, response, id, resource, subscription, body, base) {
    const session = this.sessions.get(id);
    if (!session) return 404;
    if (resource === 'layer' && request.method === 'POST') return this.#layer(id, session, body);
    if (resource !== 'sse') return 405;
    if (request.method === 'POST') {
      const name = String(++this.count);
      session.subscriptions.add(name);
      response.writeHead(201, { location: `${base}/sse/${name}` }).end();
      return 201;
    }
    if (request.method !== 'GET' || !session.subscriptions.has(subscription)) return 404;
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n');
    session.streams.add(response);
    response.on('close', () => session.streams.delete(response));
    this.#tell(session);
    return 200;
  }

  /** @param {string} id @param {Session} session @param {string} body */
  #layer(id, session, body) {
    /** @type {Wish} */
    let wish;
    try {
      wish = JSON.parse(body);
    } catch {
      return 400;
    }
    const { encodingId } = wish;
    if (
      encodingId !== undefined &&
      encodingId !== 'none' &&
      !session.levels.some((level) => level.encodingId === encodingId)
    )
      return 400;
    session.wish = wish;
    this.#choose(id, session);
    this.#tell(session);
    return 204;
  }

  /** @param {string} id @param {Session} session */
  #choose(id, session) {
    const { encodingId, maxWidth = Infinity, maxHeight = Infinity, maxBitrate = Infinity } = session.wish;
    const { levels } = session;
    if (levels.length === 0) return;
    // The smallest level that fills the player is large enough.
    const least = Math.max(
      0,
      levels.findLastIndex(({ width, height }) => width >= maxWidth || height >= maxHeight),
    );
    const fits = levels.filter((level) => level.bitrate <= maxBitrate && levels.indexOf(level) >= least);
    const chosen =
      encodingId === 'none'
        ? null
        : (levels.find((each) => each.encodingId === encodingId) ?? fits[0] ?? levels.at(-1));
    const current = chosen?.encodingId ?? 'none';
    if (current === session.current) return;
    session.current = current;
    this.switched(id, chosen ?? null);
  }

  /** @param {Session} session */
  #tell({ levels, wish, current, estimate, streams }) {
    const pinned = wish.encodingId ?? null;
    const state = { active: levels, inactive: [], current, pinned, automatic: pinned === null, estimate };
    for (const stream of streams) stream.write(`event: layers\ndata: ${JSON.stringify({ 0: state })}\n\n`);
  }
}
