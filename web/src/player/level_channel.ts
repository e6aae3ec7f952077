// Carries the choice of levels of one WHEP session (draft-murillo-whep-02 §4.4.2): posts the wish to the layer resource, and
// takes the levels from the event stream.
//
// At most one POST is on its way, and the newest wish follows it. A wish for a level that the session does not have counts as
// the automatic choice until it has it. Ends with the session.

import { type Backoff, backoffMs } from './backoff';
import type { Endpoint } from './endpoint';
import type { ServerEvent } from './event_stream';
import {
  AUDIO_ONLY,
  AUTOMATIC,
  type Levels,
  type LevelWish,
  levelsFrom,
  NO_LEVELS,
  possible,
  sameLevels,
} from './levels';
import type { SessionLinks } from './link_header';
import { pause, ServerEvents } from './server_events';

const RETRY: Backoff = { firstMs: 500, limitMs: 10_000 };
const REFUSED = [400, 422]; // The node does not know the level, or not any more.
const FINAL = [401, 403, 404, 405, 410, 501]; // The session is over, or the node has no such resource.

export class LevelChannel {
  readonly #endpoint: Endpoint;
  readonly #layer: string;
  readonly #mid: string;
  readonly #onLevels: (levels: Levels) => void;
  readonly #events: ServerEvents | null;
  readonly #life = new AbortController();
  #wish: LevelWish = { choice: AUTOMATIC, size: null, maxBitrate: null };
  #levels = NO_LEVELS;
  /** The choice that the node has refused. */
  #refused: string | null = null;
  /** The body that the node has taken. A session begins with the automatic choice, without bounds. */
  #taken: string;
  #sending = false;

  /** `mid` is the media section of the video. */
  constructor(
    endpoint: Endpoint,
    links: SessionLinks & { layer: string },
    mid: string,
    onLevels: (levels: Levels) => void,
  ) {
    this.#endpoint = endpoint;
    this.#layer = links.layer;
    this.#mid = mid;
    this.#onLevels = onLevels;
    this.#taken = this.#body();
    const { events } = links;
    const take = ({ name, data }: ServerEvent) => this.#take(name, data);
    this.#events = events ? new ServerEvents(endpoint, events, ['layers'], take) : null;
    this.#events?.open();
  }

  /** Returns whether the node sends no video, by this viewer's choice or by its own. */
  get isAudioOnly(): boolean {
    const { current } = this.#levels;
    return current === AUDIO_ONLY || (current === null && this.#taken === this.#pin(AUDIO_ONLY));
  }

  choose(wish: LevelWish): void {
    if (wish.choice !== this.#wish.choice) this.#refused = null;
    this.#wish = wish;
    void this.#send();
  }

  /** The network has changed, so the connection of the event stream may be dead. */
  renew(): void {
    this.#events?.renew();
  }

  close(): void {
    this.#life.abort();
    this.#events?.close();
  }

  #take(name: string, data: string): void {
    const levels = name === 'layers' ? levelsFrom(data, this.#mid) : null;
    if (!levels || this.#life.signal.aborted) return;
    const isNew = !sameLevels(levels, this.#levels);
    this.#levels = levels;
    if (isNew) this.#refused = null;
    this.#onLevels(levels);
    void this.#send();
  }

  /** Returns what is asked of the node. A member that is left out bounds nothing. */
  #body(): string {
    const { choice, size, maxBitrate } = this.#wish;
    // Before the first event any level may exist.
    const isListed = this.#levels.list.length === 0 || possible(choice, this.#levels.list) === choice;
    if (choice !== AUTOMATIC && isListed && choice !== this.#refused) {
      return this.#pin(choice);
    }
    const bounds = { ...(size && { maxWidth: size.width, maxHeight: size.height }), ...(maxBitrate && { maxBitrate }) };
    return JSON.stringify({ mediaId: this.#mid, ...bounds });
  }

  #pin(encodingId: string): string {
    return JSON.stringify({ mediaId: this.#mid, encodingId });
  }

  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    const { signal } = this.#life;
    let failures = 0;
    while (!signal.aborted && this.#body() !== this.#taken) {
      const body = this.#body();
      const { choice } = this.#wish;
      const status = await this.#post(body, signal);
      if (FINAL.includes(status)) return; // `sending` stays true: nothing is sent any more.
      if (status >= 200 && status < 300) [this.#taken, failures] = [body, 0];
      else if (REFUSED.includes(status) && JSON.parse(body).encodingId !== undefined) this.#refused = choice;
      else if (REFUSED.includes(status)) this.#taken = body;
      else await pause(backoffMs(RETRY, ++failures, Math.random()), signal);
    }
    this.#sending = false;
  }

  /** Returns the status, or 0 if no answer came. */
  async #post(body: string, signal: AbortSignal): Promise<number> {
    const headers = this.#endpoint.headers(this.#layer, { 'content-type': 'application/json' });
    try {
      const response = await fetch(this.#layer, { method: 'POST', headers, body, cache: 'no-store', signal });
      await response.body?.cancel();
      return response.status;
    } catch {
      return 0;
    }
  }
}
