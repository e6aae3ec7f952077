// Plays a stream with a player library that a page would load, at the library's defaults. `script` is the URL of the
// library. LL-HLS players are told to be close to the present where that is not their default.

import { Meter } from "./meter.js";

const libraries = {
  "hls.js": {
    start(video, url, options, failed) {
      const hls = new Hls(options);
      hls.on(Hls.Events.ERROR, (_, { details, fatal }) => failed(`${details}${fatal ? " (fatal)" : ""}`));
      hls.loadSource(url);
      hls.attachMedia(video);
      return () => hls.destroy();
    },
  },
  "shaka-player": {
    async start(video, url, options, failed) {
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      player.addEventListener("error", ({ detail }) => failed(`${detail.code}, severity ${detail.severity}`));
      player.configure({ streaming: { lowLatencyMode: true }, ...options });
      await player.attach(video);
      player.load(url).catch((error) => failed(`load: ${error.code}`));
      return () => player.destroy();
    },
  },
  "video.js": {
    start(video, url, options, failed) {
      video.className = "video-js";
      // `overrideNative` lets it play by itself where the browser has a player for HLS.
      const player = videojs(video, { autoplay: true, liveui: true, html5: { vhs: { overrideNative: true, ...options } } });
      player.on("error", () => failed(player.error()?.message));
      player.src({ src: url, type: "application/x-mpegURL" });
      return () => player.dispose();
    },
  },
  "mpegts.js": {
    start(video, url, options, failed) {
      const player = mpegts.createPlayer({ type: "flv", isLive: true, url }, options);
      player.on(mpegts.Events.ERROR, (kind, detail) => failed(`${kind}: ${detail}`));
      player.attachMediaElement(video);
      player.load();
      return () => player.destroy();
    },
  },
};

export async function playLibrary({ library, script, url, options = {}, fps = 30 }) {
  await load(script);
  const video = document.createElement("video");
  Object.assign(video, { autoplay: true, playsInline: true });
  document.body.append(video);
  const meter = new Meter(video, { fps });
  const errors = [];
  const startedAt = Date.now();
  const stop = await libraries[library].start(video, url, options, (error) => errors.push(error));
  await meter.listen(null);
  video.play().catch(() => {});
  return {
    meter,
    report: () => ({
      ...meter.report(),
      firstPictureMs: meter.firstFrameAt === null ? null : meter.firstFrameAt - startedAt,
      errors,
    }),
    async stop() {
      meter.stop();
      await stop();
      video.remove();
    },
  };
}

function load(src) {
  return new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src, onload: resolve, onerror: reject });
    document.head.append(script);
  });
}
