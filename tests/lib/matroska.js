// Writes just enough Matroska to hand raw video and raw audio to ffmpeg through one pipe, and reads encoded frames from
// it.
//
// There is one input pipe, because ffmpeg polls several inputs every 10 ms but blocks on a single one. With one pipe it
// encodes a frame the moment it is written. Each block is its own cluster, so no frame waits for a cluster to fill.

const UNKNOWN_SIZE = Buffer.from([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);

function sizeField(length) {
  const field = Buffer.alloc(4);
  field.writeUInt32BE(0x10000000 + length);
  return field;
}

function element(id, ...parts) {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(id), sizeField(body.length), body]);
}

function number(id, value) {
  const body = Buffer.alloc(8);
  body.writeBigUInt64BE(BigInt(Math.round(value)));
  return element(id, body);
}

function float(id, value) {
  const body = Buffer.alloc(8);
  body.writeDoubleBE(value);
  return element(id, body);
}

const text = (id, value) => element(id, Buffer.from(value, "latin1"));

/**
 * Returns the beginning of a file: gray video as track 1, 16-bit little-endian PCM as track 2, time in microseconds.
 */
export function matroskaHeader({ width, height, fps, sampleRate, channels }) {
  const ebml = element(
    [0x1a, 0x45, 0xdf, 0xa3],
    text([0x42, 0x82], "matroska"),
    number([0x42, 0x87], 4),
    number([0x42, 0x85], 2),
  );
  const info = element([0x15, 0x49, 0xa9, 0x66], number([0x2a, 0xd7, 0xb1], 1000));
  const video = element(
    [0xae],
    number([0xd7], 1),
    number([0x73, 0xc5], 1),
    number([0x83], 1),
    number([0x9c], 0),
    number([0x23, 0xe3, 0x83], 1e9 / fps),
    text([0x86], "V_UNCOMPRESSED"),
    element([0xe0], number([0xb0], width), number([0xba], height), text([0x2e, 0xb5, 0x24], "Y800")),
  );
  const tracks = [video];
  if (channels > 0) {
    tracks.push(
      element(
        [0xae],
        number([0xd7], 2),
        number([0x73, 0xc5], 2),
        number([0x83], 2),
        number([0x9c], 0),
        text([0x86], "A_PCM/INT/LIT"),
        element([0xe1], float([0xb5], sampleRate), number([0x9f], channels), number([0x62, 0x64], 16)),
      ),
    );
  }
  return Buffer.concat([
    ebml,
    Buffer.from([0x18, 0x53, 0x80, 0x67]),
    UNKNOWN_SIZE,
    info,
    element([0x16, 0x54, 0xae, 0x6b], ...tracks),
  ]);
}

/** Returns one frame or one run of samples as its own cluster. */
export function matroskaBlock(track, timeMicroseconds, payload) {
  const head = Buffer.from([0x80 | track, 0, 0, 0x80]);
  return element([0x1f, 0x43, 0xb6, 0x75], number([0xe7], timeMicroseconds), element([0xa3], head, payload));
}

const SEGMENT = 0x18538067;
const CLUSTER = 0x1f43b675;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const BLOCK_GROUP = 0xa0;
const CONTAINERS = new Set([SEGMENT, CLUSTER, TRACKS, TRACK_ENTRY, BLOCK_GROUP]);

/** Returns the only track of a finished file: the private data of its codec, and its frames in file order. */
export function readMatroska(file) {
  const track = { codecPrivate: null, frames: [] };
  let clusterMs = 0;
  const walk = (from, to) => {
    let at = from;
    while (at < to) {
      const id = readId(file, at);
      const size = readSize(file, at + id.length);
      const start = at + id.length + size.length;
      const end = Math.min(to, start + size.value);
      if (CONTAINERS.has(id.value)) walk(start, end);
      else if (id.value === 0x63a2) track.codecPrivate = file.subarray(start, end);
      else if (id.value === 0xe7) clusterMs = file.readUIntBE(start, end - start);
      else if (id.value === 0xa3 || id.value === 0xa1) {
        const isKeyframe = id.value === 0xa3 && (file[start + 3] & 0x80) !== 0;
        track.frames.push({ timeMs: clusterMs + file.readInt16BE(start + 1), isKeyframe, data: file.subarray(start + 4, end) });
      }
      at = end;
    }
  };
  walk(0, file.length);
  return track;
}

function readId(file, at) {
  const length = Math.clz32(file[at]) - 23;
  return { length, value: file.readUIntBE(at, length) };
}

function readSize(file, at) {
  const length = Math.clz32(file[at]) - 23;
  let value = file[at] & (0xff >> length);
  for (let index = 1; index < length; index += 1) value = value * 256 + file[at + index];
  return { length, value };
}
