// Is a small LL-HLS origin for tests. ffmpeg cuts moving video with audio into CMAF pieces of a third of a second. Each
// piece is a part, and six pieces in a row are a segment. It supports blocking reload and preload hints.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PARTS_PER_SEGMENT = 6;
const PART_TARGET = 0.334;
const SEGMENTS_LISTED = 6;
const SEGMENTS_WITH_PARTS = 3;

export class HlsSource {
  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'onmic-mock-hls-'));
    /** The number of the first kept piece. `pieces` holds the duration and date of each. */
    this.first = 0;
    /** @type {{ duration: number, date: string }[]} */
    this.pieces = [];
    /** @type {(() => void)[]} */
    this.waiting = [];
    const picture = 'testsrc2=size=640x360:rate=30';
    const args = `-hide_banner -loglevel error -re -f lavfi -i ${picture} -re -f lavfi -i sine=frequency=330:sample_rate=48000
      -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 10 -keyint_min 10 -b:v 600k
      -c:a aac -b:a 64k -ac 2 -f hls -hls_time 0.3333 -hls_list_size 60 -hls_segment_type fmp4
      -hls_fmp4_init_filename init.mp4 -hls_segment_filename ${this.directory}/p%d.m4s
      -hls_flags program_date_time+delete_segments+temp_file ${this.directory}/ffmpeg.m3u8`;
    this.process = spawn('ffmpeg', args.trim().split(/\s+/), { stdio: ['ignore', 'ignore', 'inherit'] });
    this.timer = setInterval(() => this.#read(), 40);
  }

  close() {
    clearInterval(this.timer);
    this.process.kill('SIGKILL');
    for (const wake of this.waiting.splice(0)) wake();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  get ready() {
    return this.pieces.length >= 2 * PARTS_PER_SEGMENT;
  }

  /** @param {string} name @param {URLSearchParams} query @returns {Promise<{ type: string, body: string | Buffer } | null>} */
  async get(name, query) {
    if (name === 'index.m3u8') return { type: PLAYLIST, body: MULTIVARIANT };
    if (name === 'media.m3u8') return { type: PLAYLIST, body: await this.#media(query) };
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

  #more() {
    return new Promise((/** @type {(value?: unknown) => void} */ resolve) => this.waiting.push(resolve));
  }

  #read() {
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
    if (this.next !== before) for (const wake of this.waiting.splice(0)) wake();
  }

  /** @param {URLSearchParams} query */
  async #media(query) {
    const msn = Number(query.get('_HLS_msn') ?? -1);
    const wanted = msn * PARTS_PER_SEGMENT + Number(query.get('_HLS_part') ?? 0);
    while (msn >= 0 && this.next <= wanted && this.process.exitCode === null) await this.#more();
    const last = Math.floor(this.next / PARTS_PER_SEGMENT); // The segment that is being made.
    const start = Math.max(Math.ceil(this.first / PARTS_PER_SEGMENT), last - SEGMENTS_LISTED);
    const lines = [
      '#EXTM3U',
      '#EXT-X-VERSION:9',
      '#EXT-X-TARGETDURATION:2',
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${(3 * PART_TARGET).toFixed(3)}`,
      `#EXT-X-PART-INF:PART-TARGET=${PART_TARGET}`,
      `#EXT-X-MEDIA-SEQUENCE:${start}`,
      '#EXT-X-MAP:URI="init.mp4"',
    ];
    for (let segment = start; segment <= last; segment++) {
      const from = segment * PARTS_PER_SEGMENT;
      const parts = this.pieces.slice(from - this.first, from - this.first + PARTS_PER_SEGMENT);
      if (parts[0]) lines.push(`#EXT-X-PROGRAM-DATE-TIME:${parts[0].date}`);
      if (segment > last - SEGMENTS_WITH_PARTS) {
        parts.forEach(({ duration }, part) => {
          lines.push(`#EXT-X-PART:DURATION=${duration.toFixed(5)},URI="p${from + part}.m4s",INDEPENDENT=YES`);
        });
      }
      if (segment === last) lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p${this.next}.m4s"`);
      else
        lines.push(`#EXTINF:${parts.reduce((sum, { duration }) => sum + duration, 0).toFixed(5)},`, `s${segment}.m4s`);
    }
    return `${lines.join('\n')}\n`;
  }
}

const PLAYLIST = 'application/vnd.apple.mpegurl';
const MULTIVARIANT = `#EXTM3U
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=30
media.m3u8
`;
