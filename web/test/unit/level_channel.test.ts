// Tests the choice of levels against a mock of the node: what is posted, and what follows the answers.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Endpoint } from '../../src/player/endpoint';
import { LevelChannel } from '../../src/player/level_channel';
import type { Levels, LevelWish } from '../../src/player/levels';

const ENDPOINT = new Endpoint('https://n/', 'demo', 'secret');
const LINKS = { layer: 'https://n/s/1/layer', events: 'https://n/s/1/sse' };
const AUTO: LevelWish = { choice: 'auto', size: null, maxBitrate: null };

interface Asked {
  method: string;
  url: string;
  body: unknown;
  authorization: string | undefined;
}

/** Answers requests. `statuses` are those of the layer resource, the last of which stays. */
class Node {
  readonly asked: Asked[] = [];
  statuses: number[] = [204];
  streamStatus = 200;
  subscribeStatus = 201;
  #streams: ReadableStreamDefaultController<Uint8Array>[] = [];
  count = 0;

  readonly fetch = async (
    url: string,
    init: RequestInit & { headers?: Record<string, string> } = {},
  ): Promise<Response> => {
    const method = init.method ?? 'GET';
    const body = typeof init.body === 'string' ? JSON.parse(init.body) : undefined;
    this.asked.push({ method, url, body, authorization: init.headers?.['authorization'] });
    if (url.endsWith('/layer')) {
      const status = this.statuses.length > 1 ? (this.statuses.shift() ?? 204) : (this.statuses[0] ?? 204);
      if (status === 0) throw new TypeError('no network');
      return new Response(null, { status });
    }
    if (method === 'POST') {
      const headers = { location: `/s/1/sse/${++this.count}` };
      return new Response(null, { status: this.subscribeStatus, headers });
    }
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#streams.push(controller);
        init.signal?.addEventListener('abort', () => controller.error(new Error('aborted')));
      },
    });
    return new Response(stream, { status: this.streamStatus, headers: { 'content-type': 'text/event-stream' } });
  };

  tell(keys: string[], current: string | null): void {
    const active = keys.map((encodingId) => ({ encodingId }));
    const event = `event: layers\ndata: ${JSON.stringify({ 0: { active, current } })}\n\n`;
    this.#streams.at(-1)?.enqueue(new TextEncoder().encode(event));
  }

  end(): void {
    this.#streams.at(-1)?.close();
  }

  get posted(): unknown[] {
    return this.asked.filter(({ url }) => url.endsWith('/layer')).map(({ body }) => body);
  }
}

let node: Node;
const page = Object.assign(new EventTarget(), { hidden: false });
let told: Levels[];
const open = (links: { layer: string; events: string | null } = LINKS) =>
  new LevelChannel(ENDPOINT, links, '0', (levels) => told.push(levels));
const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
  node = new Node();
  told = [];
  page.hidden = false;
  vi.stubGlobal('fetch', node.fetch);
  vi.stubGlobal('document', page);
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

it('the_automatic_choice_without_bounds_needs_no_request', async () => {
  const channel = open();
  channel.choose(AUTO);
  await settle();
  expect(node.posted).toEqual([]);
  channel.close();
});

it('each_request_has_the_whole_wish_and_the_token', async () => {
  const channel = open();
  channel.choose({ choice: 'auto', size: { width: 640, height: 360 }, maxBitrate: null });
  await settle();
  channel.choose({ choice: 'video1', size: { width: 640, height: 360 }, maxBitrate: null });
  await settle();
  channel.choose({ choice: 'none', size: { width: 800, height: 450 }, maxBitrate: null });
  await settle();
  channel.choose({ choice: 'auto', size: { width: 800, height: 450 }, maxBitrate: 500_000 });
  await settle();
  expect(node.posted).toEqual([
    { mediaId: '0', maxWidth: 640, maxHeight: 360 },
    { mediaId: '0', encodingId: 'video1' },
    { mediaId: '0', encodingId: 'none' },
    { mediaId: '0', maxWidth: 800, maxHeight: 450, maxBitrate: 500_000 },
  ]);
  expect(new Set(node.asked.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer secret']));
  channel.close();
});

it('a_change_of_size_is_not_posted_while_a_level_is_pinned', async () => {
  const channel = open();
  channel.choose({ choice: 'video1', size: null, maxBitrate: null });
  await settle();
  channel.choose({ choice: 'video1', size: { width: 100, height: 50 }, maxBitrate: null });
  await settle();
  expect(node.posted).toEqual([{ mediaId: '0', encodingId: 'video1' }]);
  channel.close();
});

it('wishes_that_follow_fast_are_posted_one_at_a_time_and_the_newest_last', async () => {
  const channel = open();
  for (const choice of ['video', 'video1', 'video2', 'video3']) channel.choose({ ...AUTO, choice });
  await settle();
  expect(node.posted).toEqual([
    { mediaId: '0', encodingId: 'video' },
    { mediaId: '0', encodingId: 'video3' },
  ]);
  channel.close();
});

it('a_wish_is_posted_again_after_an_answer_that_is_lost_or_a_node_that_is_busy', async () => {
  node.statuses = [0, 503, 204];
  const channel = open();
  channel.choose({ ...AUTO, choice: 'video1' });
  await settle();
  expect(node.posted.length).toBe(1);
  await vi.advanceTimersByTimeAsync(500);
  expect(node.posted.length).toBe(2);
  await vi.advanceTimersByTimeAsync(1000);
  expect(node.posted.length).toBe(3);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(node.posted.length).toBe(3);
  channel.close();
});

it('a_level_that_the_node_refuses_counts_as_automatic_until_the_levels_change', async () => {
  node.statuses = [400, 204];
  const channel = open();
  await settle();
  channel.choose({ choice: 'video7', size: { width: 640, height: 360 }, maxBitrate: null });
  await settle();
  const [pinned, automatic] = [
    { mediaId: '0', encodingId: 'video7' },
    { mediaId: '0', maxWidth: 640, maxHeight: 360 },
  ];
  expect(node.posted).toEqual([pinned, automatic]);
  node.tell(['video', 'video7'], 'video');
  await settle();
  expect(node.posted).toEqual([pinned, automatic, pinned]);
  channel.close();
});

it('a_level_that_goes_is_asked_for_again_when_it_comes_back', async () => {
  const channel = open();
  await settle();
  node.tell(['video', 'video1'], 'video');
  await settle();
  channel.choose({ ...AUTO, choice: 'video1' });
  await settle();
  node.tell(['video'], 'video');
  await settle();
  node.tell(['video', 'video1'], 'video');
  await settle();
  const pinned = { mediaId: '0', encodingId: 'video1' };
  expect(node.posted).toEqual([pinned, { mediaId: '0' }, pinned]);
  expect(told.map(({ list }) => list.length)).toEqual([2, 1, 2]);
  channel.close();
});

it('after_the_end_of_the_session_nothing_is_asked_and_nothing_told', async () => {
  const channel = open();
  await settle();
  node.tell(['video'], 'video');
  await settle();
  channel.close();
  node.subscribeStatus = 404;
  channel.choose({ ...AUTO, choice: 'video' });
  await vi.advanceTimersByTimeAsync(120_000);
  expect(node.posted).toEqual([]);
  expect(node.asked.length).toBe(2);
  expect(told.length).toBe(1);
});

it('a_session_that_is_gone_is_asked_nothing_more', async () => {
  node.statuses = [404];
  const channel = open({ ...LINKS, events: null });
  channel.choose({ ...AUTO, choice: 'video1' });
  await settle();
  channel.choose({ ...AUTO, choice: 'video2' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(node.posted.length).toBe(1);
  channel.close();
});

it('the_event_stream_is_opened_again_after_it_ends_and_each_time_later_while_it_fails', async () => {
  const channel = open();
  await settle();
  expect(node.asked.map(({ method, url, body }) => [method, url, body])).toEqual([
    ['POST', 'https://n/s/1/sse', ['layers']],
    ['GET', 'https://n/s/1/sse/1', undefined],
  ]);
  node.tell(['video'], 'video');
  await settle();
  node.end();
  await vi.advanceTimersByTimeAsync(1000);
  expect(node.asked.at(-1)?.url).toBe('https://n/s/1/sse/1');
  expect(node.asked.length).toBe(3);
  // The subscription is not known any more, so there has to be a new one.
  node.streamStatus = 404;
  node.end();
  await vi.advanceTimersByTimeAsync(1000);
  expect(node.asked.length).toBe(4);
  await vi.advanceTimersByTimeAsync(2000);
  expect(node.asked.slice(4).map(({ method, url }) => [method, url])).toEqual([
    ['POST', 'https://n/s/1/sse'],
    ['GET', 'https://n/s/1/sse/2'],
  ]);
  await vi.advanceTimersByTimeAsync(3999);
  expect(node.asked.length).toBe(6);
  node.streamStatus = 200;
  await vi.advanceTimersByTimeAsync(1);
  expect(node.asked.length).toBe(8);
  node.tell(['video', 'video1'], 'video');
  await settle();
  expect(told.at(-1)?.list.length).toBe(2);
  channel.close();
});

it('a_node_without_the_event_stream_is_asked_once', async () => {
  node.subscribeStatus = 404;
  const channel = open();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(node.asked.length).toBe(1);
  channel.close();
});

it('a_hidden_page_has_no_event_stream', async () => {
  page.hidden = true;
  const channel = open();
  await settle();
  expect(node.asked.length).toBe(0);
  page.hidden = false;
  page.dispatchEvent(new Event('visibilitychange'));
  await settle();
  expect(node.asked.length).toBe(2);
  page.hidden = true;
  page.dispatchEvent(new Event('visibilitychange'));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(node.asked.length).toBe(2);
  page.hidden = false;
  page.dispatchEvent(new Event('visibilitychange'));
  await settle();
  expect(node.asked.length).toBe(3);
  channel.close();
});

it('the_players_of_a_page_leave_connections_to_other_requests', async () => {
  const channels = Array.from({ length: 5 }, () => open());
  await settle();
  const streams = () => node.asked.filter(({ method }) => method === 'GET').length;
  expect(streams()).toBe(3);
  channels[0]?.close();
  await settle();
  expect(streams()).toBe(4);
  for (const channel of channels) channel.close();
  await settle();
  const last = open();
  await settle();
  expect(streams()).toBe(5);
  last.close();
});

it('after_a_change_of_network_the_event_stream_is_read_anew_at_once', async () => {
  const channel = open();
  await settle();
  channel.renew();
  await settle();
  expect(node.asked.map(({ method }) => method)).toEqual(['POST', 'GET', 'GET']);
  channel.close();
});

it('the_node_sends_no_video_if_it_says_so_or_has_taken_that_wish', async () => {
  const channel = open({ ...LINKS, events: null });
  expect(channel.isAudioOnly).toBe(false);
  channel.choose({ ...AUTO, choice: 'none' });
  await settle();
  expect(channel.isAudioOnly).toBe(true);
  channel.close();
  const other = open();
  await settle();
  node.tell(['video'], 'none');
  await settle();
  expect(other.isAudioOnly).toBe(true);
  other.close();
});
