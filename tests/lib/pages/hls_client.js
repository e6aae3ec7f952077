// Plays LL-HLS with hls.js at its defaults, as a page that does not know onmic would.

import { Meter } from "./meter.js";

export async function playHls({ url, fps = 30, tiles, tones, token, configuration = {} }) {
  const video = document.createElement("video");
  Object.assign(video, { autoplay: true, playsInline: true });
  document.body.append(video);
  const meter = new Meter(video, { fps, tiles, tones });
  const startedAt = Date.now();
  const errors = [];
  const stalls = [];
  const levels = [];
  let manifests = 0;
  let playing = false;
  let waitingSince = null;
  video.addEventListener("playing", () => {
    if (waitingSince !== null) stalls.push({ at: waitingSince, ms: Date.now() - waitingSince });
    waitingSince = null;
    playing = true;
  });
  video.addEventListener("waiting", () => {
    if (playing) waitingSince ??= Date.now();
  });

  const hls = new Hls({
    ...configuration,
    xhrSetup: (xhr) => token && xhr.setRequestHeader("Authorization", `Bearer ${token}`),
  });
  hls.on(Hls.Events.ERROR, (_, data) => {
    errors.push({ at: Date.now(), details: data.details, fatal: data.fatal, reason: data.reason ?? data.error?.message });
  });
  hls.on(Hls.Events.MANIFEST_PARSED, (_, data) => {
    manifests += 1;
    levels.push(
      ...data.levels.map(({ attrs, videoCodec, audioCodec, width, height }) => ({
        codecs: attrs.CODECS,
        videoCodec,
        audioCodec,
        width,
        height,
      })),
    );
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  await meter.listen(null);
  video.play().catch(() => {});

  return {
    meter,
    setTiles: (tiles) => meter.setTiles(tiles),
    /** Goes over to the quality of this height with the next segment, as a menu of qualities does. */
    setHeight(height) {
      hls.nextLevel = hls.levels.findIndex((level) => level.height === height);
    },
    async report() {
      const details = hls.latestLevelDetails;
      return {
        ...meter.report(),
        firstPictureMs: meter.firstFrameAt === null ? null : meter.firstFrameAt - startedAt,
        errors,
        fatal: errors.some((error) => error.fatal),
        stalls: stalls.filter(({ at }) => at >= meter.since),
        waiting: waitingSince !== null,
        levels,
        manifests,
        latency: hls.latency,
        targetLatency: hls.targetLatency,
        lowLatency: Boolean(details?.partList?.length),
        partTarget: details?.partTarget,
        mediaSequence: details?.startSN,
        readyState: video.readyState,
        loading: loading(hls, details),
      };
    },
    stop() {
      meter.stop();
      hls.destroy();
      video.remove();
    },
  };
}

/** Returns what tells why a player waits: what it has, what the newest playlist has, and how old that playlist is. */
function loading(hls, details) {
  const newest = details?.partList?.at(-1);
  const ranges = (track) => {
    const { buffered } = track?.buffer ?? {};
    return Array.from(buffered ?? [], (_, index) => [buffered.start(index), buffered.end(index)]);
  };
  const tracks = hls.bufferController?.tracks ?? {};
  return {
    state: [hls.streamController?.state, hls.audioStreamController?.state],
    playlistAgeSeconds: details?.age,
    playlistEnd: details?.edge,
    newestPart: newest && { segment: newest.fragment.sn, index: newest.index, independent: newest.independent },
    buffered: Object.fromEntries(Object.entries(tracks).map(([name, track]) => [name, ranges(track)])),
  };
}
