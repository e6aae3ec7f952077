// Tests publishers by RTMP as encoders in the field are. Each row publishes a clip of real frames, changed tag by tag, and
// says what viewers and the API must get of it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { amf0 } from "../../lib/amf0.js";
import { endToEnd, lasting } from "../../lib/end_to_end.js";
import { EnhancedPublisher } from "../../lib/enhanced_publisher.js";
import { FlvReader } from "../../lib/flv.js";
import { asTrack } from "../../lib/multitrack_publisher.js";
import { RtmpClient } from "../../lib/rtmp_client.js";
import { run } from "../../lib/run.js";
import { pause, waitFor } from "../../lib/wait.js";

const CLIP_MS = 4000;

const prepared = lasting(async (stage) => {
  const folder = stage.folder();
  const clip = async (name, audio) => {
    const file = `${folder}/${name}.flv`;
    const video = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "30", "-slices", "3"];
    const sources = [`testsrc2=size=320x180:rate=30:duration=${CLIP_MS / 1000}`, `sine=sample_rate=44100:duration=${CLIP_MS / 1000}`];
    const inputs = sources.flatMap((source) => ["-f", "lavfi", "-i", source]);
    const encoded = await run("ffmpeg", ["-v", "error", "-y", ...inputs, ...video, ...audio, "-ac", "1", file]);
    if (encoded.code !== 0) throw new Error(encoded.stderr);
    const tags = [];
    new FlvReader((tag) => tag.kind !== "script" && tags.push(tag)).push(readFileSync(file));
    return tags;
  };
  return {
    gateway: await stage.gateway(),
    aac: await clip("aac", ["-c:a", "aac"]),
    mp3: await clip("mp3", ["-c:a", "libmp3lame"]),
    alaw: await clip("alaw", ["-c:a", "pcm_alaw", "-ar", "8000"]),
  };
});

/** Publishes `tags` repeatedly in real time, each as the bodies that `change` makes of it. */
async function publish(stage, port, key, tags, change) {
  const client = stage.keep(await RtmpClient.open(port));
  await client.connect();
  assert.equal((await client.publish(key)).code, "NetStream.Publish.Start");
  client.setChunkSize(65_536);
  const started = performance.now();
  (async () => {
    for (let round = 0; ; round += 1) {
      for (const tag of tags) {
        if (round > 0 && tag.isHeader) continue; // The headers come once.
        const timestamp = tag.timestampMs + round * CLIP_MS;
        await pause(Math.max(0, started + timestamp - performance.now()));
        if (client.closed) return;
        for (const { kind, body } of change(tag, round)) client[kind](timestamp, body);
      }
    }
  })();
  return client;
}

/** Counts what a viewer by HTTP-FLV gets until `enough` says so, and returns the times of the video's frames. */
async function watch(gateway, room, enough) {
  const counts = { video: 0, audio: 0 };
  const times = [];
  const stop = new AbortController();
  const response = await fetch(gateway.url(`/flv/${room}.flv`), { signal: AbortSignal.any([stop.signal, AbortSignal.timeout(20_000)]) });
  assert.equal(response.status, 200);
  const reader = new FlvReader((tag) => {
    if (tag.kind === "script" || tag.isHeader) return;
    counts[tag.kind] += 1;
    if (tag.kind === "video") times.push(tag.timestampMs);
  });
  for await (const chunk of response.body) {
    reader.push(Buffer.from(chunk));
    if (enough(counts)) break;
  }
  stop.abort();
  assert.ok(enough(counts), JSON.stringify(counts));
  return times;
}

const host = async (gateway, room) => (await gateway.room(room))?.participants.find(({ name }) => name === "host");

// ---- What is changed

const head = (tag, rest) => ({ ...tag, body: Buffer.concat([tag.body.subarray(0, tag.kind === "video" ? 5 : 2), rest]) });

function* units(payload) {
  for (let at = 0; at < payload.length; ) {
    const end = at + 4 + payload.readUInt32BE(at);
    yield payload.subarray(at + 4, end);
    at = end;
  }
}

const withLength = (unit) => Buffer.concat([Buffer.from([0, 0, unit.length >> 8, unit.length & 0xff]), unit]);

/** Returns the parameter sets of an AVC sequence header as a keyframe would carry them. */
function setsOf(tags) {
  const record = tags.find((tag) => tag.kind === "video" && tag.isHeader).body.subarray(5);
  const sps = record.subarray(8, 8 + record.readUInt16BE(6));
  const at = 8 + sps.length + 1;
  return Buffer.concat([withLength(sps), withLength(record.subarray(at + 2, at + 2 + record.readUInt16BE(at)))]);
}

const inBand = (tag, sets) => (tag.isKeyframe ? head(tag, Buffer.concat([sets, tag.body.subarray(5)])) : tag);
const startCodes = (tag) => head(tag, Buffer.concat([...units(tag.body.subarray(5))].flatMap((unit) => [Buffer.from([0, 0, 0, 1]), unit])));
const emptyHeader = { kind: "video", body: Buffer.from("1700000000", "hex") };

const SEI = Buffer.from([6, 5, 17, ...Array(16).keys(), 0x78, 0x80]);
const seiAlone = (tag) => ({ ...tag, body: Buffer.concat([Buffer.from("2701000000", "hex"), withLength(SEI)]) });
const withSei = () => (tag) => (tag.kind === "video" && !tag.isHeader ? [seiAlone(tag), tag] : [tag]);

const slice = (tag, unit) => ({ ...tag, body: Buffer.concat([tag.body.subarray(0, 5), withLength(unit)]) });
const withSlices = () => (tag) => (tag.kind === "video" && !tag.isHeader ? [...units(tag.body.subarray(5))].map((unit) => slice(tag, unit)) : [tag]);

function adts(tag) {
  const length = tag.body.length - 2 + 7;
  const header = [0xff, 0xf1, 0x50, 0x40 | (length >> 11), (length >> 3) & 255, ((length & 7) << 5) | 0x1f, 0xfc];
  return head(tag, Buffer.concat([Buffer.from(header), tag.body.subarray(2)]));
}

const ofVideo = (header, frame) => (tags) => {
  const sets = setsOf(tags);
  return (tag) => (tag.kind !== "video" ? [tag] : tag.isHeader ? header : [frame(tag, sets)]);
};

/** Sends the tags as they are, and one odd body as `kind` before the first tag of each round. */
const odd = (kind, hex) => () => {
  let last = -1;
  return (tag, round) => {
    if (round === last) return [tag];
    last = round;
    return [{ kind, body: Buffer.from(hex, "hex") }, tag];
  };
};

const PLAYS = [
  ["without_a_sequence_header", "aac", ofVideo([], inBand)],
  ["with_an_empty_sequence_header", "aac", ofVideo([emptyHeader], inBand)],
  ["with_an_empty_sequence_header_and_start_codes", "aac", ofVideo([emptyHeader], (tag, sets) => startCodes(inBand(tag, sets)))],
  ["with_start_codes_behind_a_good_header", "aac", (tags) => (tag) => tag.kind === "video" && !tag.isHeader ? [startCodes(tag)] : [tag]],
  [
    "with_a_late_sequence_header",
    "aac",
    (tags) => {
      const header = tags.find((tag) => tag.kind === "video" && tag.isHeader);
      let sent = false;
      return (tag, round) => {
        if (tag === header) return [];
        if (tag.kind !== "video" || round === 0 || sent) return [tag];
        sent = true;
        return [header, tag];
      };
    },
  ],
  ["with_adts", "aac", () => (tag) => (tag.kind !== "audio" ? [tag] : tag.isHeader ? [] : [adts(tag)])],
  ["whose_only_tracks_have_the_number_1", "aac", () => (tag) => [asTrack(tag, 1)]],
  ["whose_second_tracks_come_first", "aac", () => (tag) => [asTrack(tag, 2), asTrack(tag, 1)]],
  ["with_a_tag_of_a_device_specific_format", "aac", odd("audio", "f000")],
  ["with_a_tag_of_g711", "aac", odd("audio", "81000000")],
  ["with_a_tag_of_speex", "aac", odd("audio", "b200")],
  ["with_a_tag_of_vp6", "aac", odd("video", "140000")],
  ["with_a_tag_of_an_unknown_four_cc", "aac", odd("video", "91787878780000")],
];

for (const [what, clip, change] of PLAYS) {
  endToEnd(`a_publisher_${what}_plays`, async (stage) => {
    const { gateway, ...clips } = await prepared(stage);
    const room = what.replaceAll("_", "-");
    const client = await publish(stage, gateway.rtmpPort, room, clips[clip], change(clips[clip]));
    await waitFor("both kinds", async () => {
      const participant = await host(gateway, room);
      return participant?.video?.codec === "h264" && participant.audio?.codec === "aac";
    });
    await watch(gateway, room, ({ video, audio }) => video > 60 && audio > 60);
    assert.equal(client.closed, false);
  });
}

/** Publishers that cut the units of one picture into several tags, as relays and inserters of captions and time codes do. */
const PIECES = [
  ["sei_in_tags_of_its_own", withSei],
  ["slices_in_tags_of_their_own", withSlices],
];

for (const [what, change] of PIECES) {
  endToEnd(`a_publisher_with_${what}_has_one_frame_per_picture`, async (stage) => {
    const { gateway, aac } = await prepared(stage);
    const room = what.replaceAll("_", "-");
    const client = await publish(stage, gateway.rtmpPort, room, aac, change(aac));
    await waitFor("both kinds", async () => {
      const participant = await host(gateway, room);
      return participant?.video?.codec === "h264" && participant.audio?.codec === "aac";
    });
    const times = await watch(gateway, room, ({ video }) => video > 150);
    const span = times.at(-1) - times[0];
    assert.ok(span > 4500, `${times.length} frames in ${span} ms at 30 frames per second`);
    // In the newest segment: the very first picture shows that there are pieces, and goes on before they are joined.
    const input = ["-live_start_index", "-1", "-i", gateway.url(`/hls/${room}/index.m3u8`)];
    const played = await run("ffmpeg", ["-v", "error", "-xerror", ...input, "-t", "2", "-f", "null", "-"]);
    assert.deepEqual([played.code, played.stderr], [0, ""]);
    assert.equal(client.closed, false);
  });
}

for (const [fourCc, codec] of [
  ["hvc1", "h265"],
  ["av01", "av1"],
]) {
  endToEnd(`${codec}_by_enhanced_rtmp_without_a_sequence_header_plays`, async (stage) => {
    const { gateway } = await prepared(stage);
    const publisher = stage.keep(await EnhancedPublisher.start(gateway.rtmpPort, codec, fourCc, stage.folder(), { header: false }));
    await waitFor("the video", async () => (await host(gateway, codec))?.video?.codec === codec);
    const { width, height } = (await host(gateway, codec)).video;
    assert.deepEqual([width, height], [320, 180]);
    const played = await run("ffmpeg", ["-v", "error", "-xerror", "-i", gateway.url(`/hls/${codec}/index.m3u8`), "-t", "2", "-f", "null", "-"]);
    assert.equal(played.code, 0, played.stderr);
    assert.equal(publisher.closed, false);
  });
}

const ADVISED = [
  ["aac_without_its_configuration", "aac", () => (tag) => (tag.kind === "audio" && tag.isHeader ? [] : [tag]), "no_header", /AudioSpecificConfig/],
  ["mp3", "mp3", () => (tag) => [tag], "unsupported_codec", /MP3.*AAC/s],
  ["g711", "alaw", () => (tag) => [tag], "unsupported_codec", /G\.711 A-law.*AAC/s],
  ["a_second_track", "aac", secondTrack, "other_tracks", /Audio Track/],
];

/** Sends each audio frame a second time as track 1 of Enhanced RTMP. */
function secondTrack() {
  return (tag) => (tag.kind === "audio" ? [tag, asTrack(tag, 1)] : [tag]);
}

for (const [what, clip, change, code, words] of ADVISED) {
  endToEnd(`a_publisher_of_${what}_is_advised_and_its_video_goes_on`, async (stage) => {
    const { gateway, ...clips } = await prepared(stage);
    const room = what.replaceAll("_", "-");
    const client = await publish(stage, gateway.rtmpPort, room, clips[clip], change(clips[clip]));
    const advice = await waitFor("the advice", async () => (await host(gateway, room))?.advice.find((given) => given.code === code));
    assert.match(`${advice.message} ${advice.setting}`, words);
    const status = await client.waitForCommand("the status", (command) => command[3]?.code === "NetStream.Publish.Advice");
    assert.equal(status[3].level, "warning");
    assert.match(status[3].description, words);
    await watch(gateway, room, ({ video }) => video > 60);
    assert.equal(client.closed, false);
  });
}

// ---- Commands

const utf16 = Buffer.from([2, 0, 4, 0xff, 0xfe, 0x61, 0]);
const ODD_VALUES = {
  amf3_object: Buffer.from("110a0b0101", "hex"),
  amf3_null: Buffer.from("1101", "hex"),
  reference: Buffer.from("070000", "hex"),
  xml: Buffer.from("0f000000033c613e", "hex"),
  movie_clip: Buffer.from([4]),
  text_in_gbk: Buffer.from([2, 0, 4, 0xc4, 0xe3, 0xba, 0xc3]),
  text_in_utf16: utf16,
  type_nobody_knows: Buffer.from([0x7f, 1, 2]),
};

for (const [what, value] of Object.entries(ODD_VALUES)) {
  endToEnd(`${what}_in_connect_in_a_command_and_in_metadata_costs_nothing`, async (stage) => {
    const { gateway } = await prepared(stage);
    const client = stage.keep(await RtmpClient.open(gateway.rtmpPort));
    const result = await client.connect({ more: { pageUrl: value } });
    assert.equal(result[0], "_result");
    client.command(0, "makeCoffee", 77, null, value);
    client.send(5, { type: 18, body: Buffer.concat([amf0.string("@setDataFrame"), amf0.string("onMetaData"), value]) });
    client.command(0, "FCPublish", 0, null, value);
    const refused = await client.waitForCommand("the answer to the unknown command", (command) => command[1] === 77);
    assert.equal(refused[0], "_error");
    assert.equal((await client.publish(`odd-${what.replaceAll("_", "-")}`)).code, "NetStream.Publish.Start");
  });
}

endToEnd("applications_of_the_configuration_are_taken_with_slashes_and_queries", async (stage) => {
  const named = await stage.gateway({ set: { "rtmp.app": "live,in/hd" } });
  const any = await stage.gateway({ set: { "rtmp.app": "*" } });
  assert.equal((await named.json("/api/v1/server")).rtmp_app, "live");
  for (const [gateway, app, key, code] of [
    [named, "live/", "a1", "_result"],
    [named, "in/hd?x=1", "/a2/", "_result"],
    [named, "in/hd/a3", "guest?y=2", "_result"],
    [named, "vod", "a4", "_error"],
    [any, "vod", "a5", "_result"],
    [any, "whatever/", "a6", "_result"],
  ]) {
    const client = stage.keep(await RtmpClient.open(gateway.rtmpPort));
    const result = await client.connect({ app });
    assert.equal(result[0], code, app);
    if (code === "_error") {
      assert.match(result[3].description, /use rtmp:\/\/HOST\/live/);
      continue;
    }
    assert.equal((await client.publish(key)).code, "NetStream.Publish.Start", `${app} ${key}`);
  }
});
