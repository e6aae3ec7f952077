// Is a WHEP client in as few lines as the protocol allows.

import { Concealment } from "./concealment.js";
import { Meter } from "./meter.js";
import { end, exchange, extension, iceServers, restartIce, stateOf, statistics } from "./session.js";

const PLAY_LIMIT_MS = 20_000;

/**
 * With `concealment`, the report says in which moments the browser invented audio in place of what was lost. With `turn`, "all" or
 * "relay", it asks for ICE servers first, and has that policy.
 */
export async function playWhep({ url, fps = 30, sound = true, concealment = false, tiles, tones, turn, ...options }) {
  const servers = turn ? { iceServers: await iceServers(url, options), iceTransportPolicy: turn } : {};
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", ...servers });
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
  // `play` rejects if the video is paused or removed later, which is not a failure. It waits for the first frame, which may never come
  // over a bad network.
  await Promise.race([video.play().catch(() => {}), new Promise((resolve) => setTimeout(resolve, PLAY_LIMIT_MS))]);

  const concealed = concealment ? new Concealment(pc) : null;
  const events = [];

  return {
    meter: {
      reset() {
        meter.reset();
        concealed?.reset();
      },
    },
    setTiles: (tiles) => meter.setTiles(tiles),
    async report() {
      return {
        ...meter.report(),
        ...concealed?.report(),
        state: stateOf(pc),
        times: session.times,
        firstPictureMs: meter.firstFrameAt === null ? null : meter.firstFrameAt - session.times.startedAt,
        answer: session.answer,
        resource: session.resource,
        etag: session.etag,
        link: session.link,
        events,
        statistics: await statistics(pc),
      };
    },
    async stop() {
      meter.stop();
      concealed?.stop();
      const status = await end(pc, session, authorization(options.token));
      video.remove();
      return status;
    },
    /** Chooses the level of the video by the extension of WHEP, and returns the status and the body of the answer. */
    async choose(wish) {
      const body = typeof wish === "string" ? wish : JSON.stringify(wish);
      const headers = { "Content-Type": "application/json" };
      const response = await fetch(extension(session, "layer"), { method: "POST", headers, body });
      return { status: response.status, body: await response.text() };
    },
    /** Subscribes to events of the session. They are in the report from then on, with their times. */
    async listen(names) {
      const headers = { "Content-Type": "application/json" };
      const resource = extension(session, "server-sent-events");
      const response = await fetch(resource, { method: "POST", headers, body: JSON.stringify(names) });
      if (response.status !== 201) return { status: response.status, body: await response.text() };
      const address = new URL(response.headers.get("Location"), resource).href;
      const source = new EventSource(address);
      for (const name of names) {
        source.addEventListener(name, ({ data }) => events.push({ at: Date.now(), name, data: JSON.parse(data) }));
      }
      source.addEventListener("error", () => {
        events.push({ at: Date.now(), name: "over" });
        source.close();
      });
      return { status: 201, address };
    },
    restartIce: () => restartIce(pc, session, authorization(options.token)),
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
