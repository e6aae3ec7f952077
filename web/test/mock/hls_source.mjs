// Is a small LL-HLS origin for tests. ffmpeg cuts moving video with audio into CMAF pieces of a third of a second. Each
// piece is a part, and six pieces in a row are a segment. It supports blocking reload and preload hints. There may be two
// levels of the video, and the audio alone, each in a folder of its own.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PARTS_PER_SEGMENT = 6;
const PART_TARGET = 0.35; // Pieces of audio are a little longer than those of video.
const SEGMENTS_LISTED = 6;
const SEGMENTS_WITH_PARTS = 3;

const VIDEO = (/** @type {string} */ size, /** @type {string} */ rate) =>
  `-map 0:v -map 1:a -s ${size} -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 10 -keyint_min 10 -b:v ${rate}`;
/** The options of ffmpeg for each rendition. */
const RENDITIONS = /** @type {Record<string, string>} */ ({
  video: VIDEO('640x360', '600k'),
  video1: VIDEO('320x180', '200k'),
  audio: '-map 1:a',
});

export class HlsSource {
  /** @param {string[]} names The renditions to make. */
  constructor(names = ['video']) {
    this.directory = mkdtempSync(join(tmpdir(), 'onmic-mock-hls-'));
    const inputs = '-re -f lavfi -i testsrc2=size=640x360:rate=30 -re -f lavfi -i sine=frequency=330:sample_rate=48000';
    const outputs = names.map((name) => {
      const folder = join(this.directory, name);
      mkdirSync(folder);
      return `${RENDITIONS[name]} -c:a aac -b:a 64k -ac 2 -f hls -hls_time 0.3333 -hls_list_size 60 -hls_segment_type fmp4
        -hls_fmp4_init_filename init.mp4 -hls_segment_filename ${folder}/p%d.m4s
        -hls_flags program_date_time+delete_segments+temp_file ${folder}/ffmpeg.m3u8`;
    });
    const args = `-hide_banner -loglevel error ${inputs} ${outputs.join(' ')}`;
    this.process = spawn('ffmpeg', args.trim().split(/\s+/), { stdio: ['ignore', 'ignore', 'inherit'] });
    const isOver = () => this.process.exitCode !== null;
    this.renditions = new Map(names.map((name) => [name, new Rendition(name, join(this.directory, name), isOver)]));
    this.timer = setInterval(() => {
      for (const rendition of this.renditions.values()) rendition.read();
    }, 40);
  }

  close() {
    clearInterval(this.timer);
    this.process.kill('SIGKILL');
    for (const rendition of this.renditions.values()) rendition.wake();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  get ready() {
    return [...this.renditions.values()].every(({ pieces }) => pieces.length >= 2 * PARTS_PER_SEGMENT);
  }

  /** @param {string} name @param {URLSearchParams} query @returns {Promise<{ type: string, body: string | Buffer } | null>} */
  async get(name, query) {
    if (name === 'index.m3u8') return { type: PLAYLIST, body: this.#multivariant() };
    const [, rendition = '', file = ''] = /^([a-z0-9]+)[.-](.+)$/.exec(name) ?? [];
    return this.renditions.get(rendition)?.get(file, query) ?? null;
  }

  #multivariant() {
    const names = [...this.renditions.keys()].filter((name) => VARIANTS[name]);
    const variants = names.map((name) => `#EXT-X-STREAM-INF:${VARIANTS[name]}\n${name}.m3u8\n`);
    return `#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n${variants.join('')}`;
  }
}

class Rendition {
  /** @param {string} name @param {string} directory @param {() => boolean} isOver */
  constructor(name, directory, isOver) {
    this.name = name;
    this.directory = directory;
    this.isOver = isOver;
    /** The number of the first kept piece. `pieces` holds the duration and date of each. */
    this.first = 0;
    /** @type {{ duration: number, date: string }[]} */
    this.pieces = [];
    /** @type {(() => void)[]} */
    this.waiting = [];
  }

  /** @param {string} name @param {URLSearchParams} query @returns {Promise<{ type: string, body: string | Buffer } | null>} */
  async get(name, query) {
    if (name === 'm3u8') return { type: PLAYLIST, body: await this.#media(query) };
    const segment = /^s(\d+)\.m4s$/.exec(name)?.[1];
    const files = segment
      ? Array.from({ length: PARTS_PER_SEGMENT }, (_, part) => `p${Number(segment) * PARTS_PER_SEGMENT + part}.m4s`)
      : [name];
    const piece = /^p(\d+)\.m4s$/.exec(name)?.[1];
    while (piece && Number(piece) === this.next) await this.#more(); // A client may ask for a hinted part early.
    if (!/^[\w.]+$/.test(name)) return null;
    const bodies = await Promise.all(files.map((file) => readFile(join(this.directory, file)))).catch(() => null);
    return bodies && { type: 'video/mp4', body: Buffer.concat(bodies) };
  }

  get next() {
    return this.first + this.pieces.length;
  }

  wake() {
    for (const wake of this.waiting.splice(0)) wake();
  }

  #more() {
    return new Promise((/** @type {(value?: unknown) => void} */ resolve) => this.waiting.push(resolve));
  }

  read() {
    let text = '';
    try {
      text = readFileSync(join(this.directory, 'ffmpeg.m3u8'), 'utf8');
    } catch {
      return; // ffmpeg has not written it yet.
    }
    const before = this.next;
    this.first = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1] ?? 0);
    const pattern = /#EXTINF:([\d.]+),[^\n]*\n#EXT-X-PROGRAM-DATE-TIME:([^\n]+)\n/g;
    this.pieces = [...text.matchAll(pattern)].map(([, duration, date]) => ({
      duration: Number(duration),
      date: String(date),
    }));
    if (this.next !== before) this.wake();
  }

  /** @param {URLSearchParams} query */
  async #media(query) {
    const msn = Number(query.get('_HLS_msn') ?? -1);
    const wanted = msn * PARTS_PER_SEGMENT + Number(query.get('_HLS_part') ?? 0);
    while (msn >= 0 && this.next <= wanted && !this.isOver()) await this.#more();
    const last = Math.floor(this.next / PARTS_PER_SEGMENT); // The segment that is being made.
    const start = Math.max(Math.ceil(this.first / PARTS_PER_SEGMENT), last - SEGMENTS_LISTED);
    const lines = [
      '#EXTM3U',
      '#EXT-X-VERSION:9',
      '#EXT-X-TARGETDURATION:2',
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${(3 * PART_TARGET).toFixed(3)}`,
      `#EXT-X-PART-INF:PART-TARGET=${PART_TARGET}`,
      `#EXT-X-MEDIA-SEQUENCE:${start}`,
      `#EXT-X-MAP:URI="${this.name}-init.mp4"`,
    ];
    for (let segment = start; segment <= last; segment++) {
      const from = segment * PARTS_PER_SEGMENT;
      const parts = this.pieces.slice(from - this.first, from - this.first + PARTS_PER_SEGMENT);
      if (parts[0]) lines.push(`#EXT-X-PROGRAM-DATE-TIME:${parts[0].date}`);
      if (segment > last - SEGMENTS_WITH_PARTS) {
        parts.forEach(({ duration }, part) => {
          lines.push(
            `#EXT-X-PART:DURATION=${duration.toFixed(5)},URI="${this.name}-p${from + part}.m4s",INDEPENDENT=YES`,
          );
        });
      }
      if (segment === last) lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${this.name}-p${this.next}.m4s"`);
      else
        lines.push(
          `#EXTINF:${parts.reduce((sum, { duration }) => sum + duration, 0).toFixed(5)},`,
          `${this.name}-s${segment}.m4s`,
        );
    }
    return `${lines.join('\n')}\n`;
  }
}

const PLAYLIST = 'application/vnd.apple.mpegurl';
const VARIANTS = /** @type {Record<string, string>} */ ({
  video: 'BANDWIDTH=900000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=30',
  video1: 'BANDWIDTH=350000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=320x180,FRAME-RATE=30',
});
