// Tests HEVC and AV1 by enhanced RTMP: the server announces them and carries them to LL-HLS without re-encoding.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { EnhancedPublisher } from "../lib/enhanced_publisher.js";
import { findPlaylists } from "../lib/hls_rules.js";
import { run } from "../lib/run.js";

for (const [fourCc, codec, inMaster, inFfmpeg] of [
  ["hvc1", "h265", /(hvc1|hev1)\./, "hevc"],
  ["av01", "av1", /av01\./, "av1"],
]) {
  endToEnd(`${codec}_by_enhanced_rtmp_reaches_ll_hls`, async (stage) => {
    const gateway = await stage.gateway();
    const publisher = await EnhancedPublisher.start(gateway.rtmpPort, "modern", fourCc, stage.folder());
    try {
      assert.equal(publisher.status.code, "NetStream.Publish.Start", JSON.stringify(publisher.status));
      assert.ok(publisher.announced?.includes(fourCc), `the server announces ${JSON.stringify(publisher.announced)}`);
      const url = gateway.url("/hls/modern/index.m3u8");
      const { master } = await findPlaylists(gateway, "modern");
      assert.equal(publisher.closed, false, "the server did not close the connection");
      assert.match(master.variants[0].CODECS, inMaster);
      assert.equal((await gateway.room("modern")).participants[0].video.codec, codec);
      const probe = await run("ffprobe", ["-v", "error", "-show_streams", "-of", "json", url]);
      assert.equal(probe.code, 0, probe.stderr);
      const [video] = JSON.parse(probe.stdout).streams;
      assert.equal(video.codec_name, inFfmpeg);
      assert.deepEqual([video.width, video.height], [320, 180]);
      const played = await run("ffmpeg", ["-v", "error", "-xerror", "-i", url, "-t", "2", "-f", "null", "-"]);
      assert.equal(played.code, 0, played.stderr);
    } finally {
      await publisher.stop();
    }
  });
}
