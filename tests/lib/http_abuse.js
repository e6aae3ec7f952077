// Lists wrong requests and the status that each must get.

import { offer } from "./offer.js";

const sdp = { "Content-Type": "application/sdp" };

/** Returns rows of [what, method, path, headers, body, accepted statuses]. `live` is the name of a live room. */
export function badRequests(live) {
  const hls = `/hls/${live}/index.m3u8`;
  return [
    ["WHEP of a room that is not live", "POST", "/whep/nobody-is-here", sdp, offer(), [409]],
    ["WHEP of a room whose name is not valid", "POST", "/whep/%2e%2e%2fetc", sdp, offer(), [400, 404]],
    ["WHEP with JSON", "POST", `/whep/${live}`, { "Content-Type": "application/json" }, "{}", [415]],
    ["WHEP without a content type", "POST", `/whep/${live}`, {}, offer(), [415]],
    ["WHEP by PUT", "PUT", `/whep/${live}`, sdp, offer({ direction: "recvonly" }), [405]],
    ["WHEP with 5 MB", "POST", `/whep/${live}`, sdp, Buffer.alloc(5_000_000, 97), [413]],
    ["WHIP by PUT", "PUT", "/whip/other", sdp, offer({ direction: "sendonly" }), [405]],
    ["WHIP with 5 MB", "POST", "/whip/other", sdp, Buffer.alloc(5_000_000, 97), [413]],
    ["HTTP-FLV of a room that is not live", "GET", "/flv/nobody-is-here.flv", {}, null, [404]],
    ["LL-HLS of a room that is not live", "GET", "/hls/nobody-is-here/index.m3u8", {}, null, [404]],
    ["LL-HLS of a room whose name is not valid", "GET", "/hls/..%2f..%2fetc/index.m3u8", {}, null, [400, 404]],
    ["a segment that never existed", "GET", `/hls/${live}/no-such-segment.m4s`, {}, null, [404]],
    ["LL-HLS by POST", "POST", hls, {}, "x", [405]],
    ["the API of a room that is not live", "GET", "/api/v1/rooms/nobody-is-here", {}, null, [404]],
    ["an API route that does not exist", "GET", "/api/v1/nothing", {}, null, [404]],
  ];
}
