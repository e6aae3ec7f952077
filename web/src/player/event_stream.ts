// Parses a `text/event-stream` (HTML Standard, "Server-sent events"): pieces of text in, events out. It is pure.
//
// The browser's EventSource sends no Authorization header, so the player reads such streams by `fetch`. `id` and `retry` are
// ignored, because the node tells the present state at each subscription. Invariant: at most one event of `EVENT_LIMIT`
// characters is held. A longer one is left out.

export interface ServerEvent {
  name: string;
  data: string;
}

const EVENT_LIMIT = 64 * 1024; // Characters. An event with the levels has some 200 for each.

export class EventStreamParser {
  #line = '';
  /** Whether the line has text. That of an event that is too long is not kept. */
  #hasText = false;
  #afterReturn = false;
  #name = '';
  #data: string[] = [];
  #length = 0;

  /** Takes the next piece of the stream, and returns the events that end in it. */
  take(piece: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const text = this.#afterReturn && piece.startsWith('\n') ? piece.slice(1) : piece;
    if (piece !== '') this.#afterReturn = piece.endsWith('\r');
    const lines = text.split(/\r\n|\n|\r/);
    const rest = lines.pop() ?? '';
    for (const line of lines) {
      this.#append(line);
      const event = this.#endOfLine();
      if (event) events.push(event);
    }
    this.#append(rest);
    return events;
  }

  #append(text: string): void {
    this.#length += text.length;
    this.#hasText ||= text !== '';
    if (this.#length <= EVENT_LIMIT) this.#line += text;
  }

  #endOfLine(): ServerEvent | null {
    const line = this.#line;
    const isBlank = !this.#hasText;
    this.#line = '';
    this.#hasText = false;
    if (isBlank) return this.#dispatch();
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'event') this.#name = value ?? '';
    if (field === 'data') this.#data.push(value ?? '');
    return null;
  }

  #dispatch(): ServerEvent | null {
    const event = { name: this.#name || 'message', data: this.#data.join('\n') };
    const isWhole = this.#data.length > 0 && this.#length <= EVENT_LIMIT;
    this.#name = '';
    this.#data = [];
    this.#length = 0;
    return isWhole ? event : null;
  }
}
