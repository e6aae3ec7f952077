// Is a WHEP client in as few lines as the protocol allows.

import { Meter } from "./meter.js";
import { end, exchange, stateOf, statistics } from "./session.js";

export async function playWhep({ url, fps = 30, sound = true, tiles, tones, ...options }) {
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const stream = new MediaStream();
  pc.ontrack = ({ track }) => stream.addTrack(track);
  pc.addTransceiver("video", { direction: "recvonly" });
  pc.addTransceiver("audio", { direction: "recvonly" });

  const video = document.createElement("video");
  Object.assign(video, { autoplay: true, muted: true, playsInline: true, srcObject: stream });
  document.body.append(video);
  const meter = new Meter(video, { fps, tiles, tones });
  let session;
  try {
    session = await exchange(pc, url, options);
  } catch (error) {
    pc.close();
    video.remove();
    throw error;
  }
  const audible = stream.getAudioTracks().length > 0;
  if (sound && audible) await meter.listen(new MediaStream(stream.getAudioTracks()));
  await video.play().catch(() => {}); // `play` rejects if the video is paused or removed later. That is not a failure.

  return {
    meter,
    setTiles: (tiles) => meter.setTiles(tiles),
    async report() {
      return {
        ...meter.report(),
        state: stateOf(pc),
        times: session.times,
        firstPictureMs: meter.firstFrameAt === null ? null : meter.firstFrameAt - session.times.startedAt,
        answer: session.answer,
        resource: session.resource,
        etag: session.etag,
        link: session.link,
        statistics: await statistics(pc),
      };
    },
    async stop() {
      meter.stop();
      const status = await end(pc, session, authorization(options.token));
      video.remove();
      return status;
    },
    /** Leaves without DELETE, so the gateway has to notice by itself. */
    vanish() {
      meter.stop();
      pc.close();
      video.remove();
    },
  };
}

export function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}
