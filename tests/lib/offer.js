// Makes SDP offers by hand: one that every WebRTC server must accept, and many that no server should accept.

const FINGERPRINT = Array.from({ length: 32 }, (_, index) => (index * 7 + 16).toString(16).padStart(2, "0").toUpperCase()).join(":");

export function offer({
  direction = "recvonly",
  // `videos` has a list of codecs for each video section.
  video = [["102", "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"]],
  videos = video ? [video] : [],
  audio = [["111", "opus/48000/2", "minptime=10;useinbandfec=1"]],
  ufrag = "4ZcD",
  password = "2/1muCWoOi3uLifh0NuRHlZb",
  fingerprint = `sha-256 ${FINGERPRINT}`,
  setup = "actpass",
  extra = [],
} = {}) {
  const section = (kind, mid, codecs) => [
    `m=${kind} 9 UDP/TLS/RTP/SAVPF ${codecs.map(([type]) => type).join(" ")}`,
    "c=IN IP4 0.0.0.0",
    "a=rtcp:9 IN IP4 0.0.0.0",
    ...(ufrag ? [`a=ice-ufrag:${ufrag}`] : []),
    ...(password ? [`a=ice-pwd:${password}`] : []),
    "a=ice-options:trickle",
    ...(fingerprint ? [`a=fingerprint:${fingerprint}`] : []),
    `a=setup:${setup}`,
    `a=mid:${mid}`,
    `a=${direction}`,
    "a=rtcp-mux",
    ...codecs.flatMap(([type, codec, parameters]) => [
      `a=rtpmap:${type} ${codec}`,
      ...(parameters ? [`a=fmtp:${type} ${parameters}`] : []),
    ]),
    ...extra,
  ];
  const kinds = [...videos.map((codecs) => ["video", codecs]), ...(audio ? [["audio", audio]] : [])];
  const firstMid = videos.length > 0 ? 0 : 1; // Audio alone is 1 as well.
  const sections = kinds.flatMap(([kind, codecs], at) => section(kind, firstMid + at, codecs));
  const mids = kinds.map((_, at) => firstMid + at).join(" ");
  return `${["v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", `a=group:BUNDLE ${mids}`, "a=msid-semantic: WMS", ...sections].join("\r\n")}\r\n`;
}

/**
 * Bodies that are not offers, or that ask for something that cannot be served. The answer must be a 4xx with a reason.
 */
export const BAD_OFFERS = {
  "nothing at all": "",
  "a word": "hello",
  "JSON": JSON.stringify({ type: "offer", sdp: offer() }),
  "only a version": "v=0\r\n",
  "no media": offer().split("m=")[0],
  "no ICE credentials": offer({ ufrag: null, password: null }),
  "an ICE password of two letters": offer({ password: "ab" }),
  "no fingerprint": offer({ fingerprint: null }),
  "a fingerprint that is not hexadecimal": offer({ fingerprint: "sha-256 ZZ:ZZ" }),
  "a fingerprint by MD5": offer({ fingerprint: "md5 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F" }),
  "plain RTP without DTLS": offer({ fingerprint: null }).replaceAll("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
  "the first half": offer().slice(0, 300),
  "binary": Buffer.from(Array.from({ length: 2000 }, (_, index) => (index * 31) & 0xff)),
  "invalid UTF-8 in a line": Buffer.concat([Buffer.from(offer()), Buffer.from([0x61, 0x3d, 0xff, 0xfe, 0x0d, 0x0a])]),
  "NUL bytes": offer().replace("s=-", "s=\0\0\0"),
  "a port number of 20 digits": offer().replace("m=video 9", "m=video 99999999999999999999"),
  "5,000 media sections": `${offer()}${"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:x\r\n".repeat(5000)}`,
  "one line of 900 kB": `${offer()}a=${"x".repeat(900_000)}\r\n`,
};
