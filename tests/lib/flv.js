// Reads FLV tag by tag from a stream of bytes, in enough detail to know when each frame left an encoder or a gateway.

const TAG_HEADER = 11;

export class FlvReader {
  #buffer = Buffer.alloc(0);
  #headerSeen = false;
  #onTag;

  constructor(onTag) {
    this.#onTag = onTag;
  }

  push(chunk) {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    if (!this.#headerSeen) {
      if (this.#buffer.length < 13) return;
      if (this.#buffer.toString("latin1", 0, 3) !== "FLV") throw new Error("not FLV");
      this.#buffer = this.#buffer.subarray(13);
      this.#headerSeen = true;
    }
    while (this.#buffer.length >= TAG_HEADER) {
      const size = this.#buffer.readUIntBE(1, 3);
      if (this.#buffer.length < TAG_HEADER + size + 4) return;
      this.#onTag(describeTag(this.#buffer.subarray(0, TAG_HEADER + size)));
      this.#buffer = this.#buffer.subarray(TAG_HEADER + size + 4);
    }
  }
}

function describeTag(tag) {
  const timestampMs = tag.readUIntBE(4, 3) + tag[7] * 2 ** 24;
  const body = tag.subarray(TAG_HEADER);
  if (tag[0] === 9) {
    // AVCVIDEOPACKET: frame type and codec, packet type, composition time offset.
    const offset = body.length >= 5 ? body.readIntBE(2, 3) : 0;
    return {
      kind: "video",
      timestampMs,
      compositionMs: timestampMs + offset,
      isKeyframe: body[0] >> 4 === 1,
      isHeader: body[1] !== 1,
      body,
    };
  }
  if (tag[0] === 8) return { kind: "audio", timestampMs, isHeader: body[1] === 0, body };
  return { kind: "script", timestampMs, body };
}
